"""A cell of a few-shot harness whose recipe, data or checkpoint has changed is made anew, whatever its folder holds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from coco_folders import coco_dataset

from glip.checkpoint import load_model, save_model
from glip.model_folder import WEIGHTS_FILE, description_digest, read_description
from pipelines.few_shot import few_shot
from schemas.few_shot_recipes import FewShotRecipe

CELL = Path("pets/full/1-shot-seed-0")


@pytest.fixture
def fields(tmp_path: Path, random_checkpoint: Path) -> dict[str, Any]:
    train_part = coco_dataset(tmp_path / "train", [["cat"], ["dog"], ["cat", "dog"]])
    test_part = coco_dataset(tmp_path / "test", [["dog"], ["cat"]])
    init = shutil.copytree(random_checkpoint, tmp_path / "init")
    small = {"steps": 2, "batch_size": 2, "min_sizes": [64], "max_size": 96, "loader_threads": 0}
    optimizer = {"warmup_steps": 0, "schedule": "cosine"}
    return {
        "datasets": [{"name": "pets", "train": str(train_part), "test": str(test_part)}],
        "shots": [1],
        "modes": ["full"],
        "seeds": 1,
        "metrics": ["AP50"],
        "train": {"init": str(init), **small, "optimizer": optimizer},
        "keep_models": True,
    }


def more_steps(fields: dict[str, Any], folder: Path) -> None:
    fields["train"]["steps"] = 3


def fewer_steps(fields: dict[str, Any], folder: Path) -> None:
    fields["train"]["steps"] = 1


def another_rate(fields: dict[str, Any], folder: Path) -> None:
    fields["train"]["optimizer"]["lr"] = 0.01


def another_checkpoint(fields: dict[str, Any], folder: Path) -> None:
    loaded = load_model(folder / "init")
    for parameter in loaded.model.parameters():
        parameter.data.mul_(0.5)
    save_model(folder / "init", loaded.model, loaded.tokenizer, {})


def another_dataset(fields: dict[str, Any], folder: Path) -> None:
    shutil.rmtree(folder / "train")
    shutil.rmtree(folder / "train-coco", ignore_errors=True)
    coco_dataset(folder / "train", [["dog", "dog"], ["cat"], ["dog"]])


@pytest.mark.parametrize("change", [more_steps, fewer_steps, another_rate, another_checkpoint, another_dataset])
def test_what_a_cell_left_is_not_gone_on_with_where_what_made_it_has_changed(
    fields: dict[str, Any], tmp_path: Path, change: Any
) -> None:
    few_shot(FewShotRecipe.model_validate(fields), tmp_path / "out", progress=False)
    change(fields, tmp_path)
    recipe = FewShotRecipe.model_validate(fields)
    again, fresh = (few_shot(recipe, tmp_path / name, progress=False) for name in ("out", "fresh"))
    assert again.tables == fresh.tables
    assert digest(tmp_path / "out") == digest(tmp_path / "fresh")


def digest(out: Path) -> str:
    return description_digest(read_description(out / CELL / "run" / "model"))


def test_the_digest_of_the_first_checkpoint_is_not_asked_of_the_tuned_ones(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    fields["train"]["init_sha256"] = read_description(tmp_path / "init")["sha256"][WEIGHTS_FILE]
    few_shot(FewShotRecipe.model_validate(fields), tmp_path / "out", progress=False)
    fields["train"]["init_sha256"] = "0" * 64
    with pytest.raises(ValueError, match="0000"):
        few_shot(FewShotRecipe.model_validate(fields), tmp_path / "out", progress=False)
