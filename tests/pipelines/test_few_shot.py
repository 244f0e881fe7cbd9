"""The few-shot harness: all cells and the tables of them, made once, from one command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from coco_folders import coco_dataset

from engine.artifacts import Store
from pipelines.cli import main
from pipelines.few_shot import RESULT, FewShotResult
from pipelines.few_shot.tables import markdown

TRAIN = [["cat"], ["dog"], ["cat", "dog"], ["cat"], ["dog"]]
BIRDS = {"train": [["bird"]] * 3, "test": [["bird", "bird"]] * 2}
TEST = [["dog"], ["cat"], ["dog", "cat"]]


@pytest.fixture
def recipe(tmp_path: Path, random_checkpoint: Path) -> Path:
    train, test = coco_dataset(tmp_path / "train", TRAIN), coco_dataset(tmp_path / "test", TEST)
    fields = {
        "datasets": [{"name": "pets", "train": str(train), "test": str(test)}],
        "shots": [1, "full"],
        "modes": ["full", "prompt", "lora"],
        "seeds": 2,
        "metrics": ["AP50"],
        "train": {"init": str(random_checkpoint), "steps": 2, "batch_size": 2, "min_sizes": [64], "max_size": 96},
        "train_by_mode": {"prompt": {"optimizer": {"lr": 0.05, "weight_decay": 0.0}}},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(fields))
    return tmp_path / "recipe.yaml"


def _run(recipe: Path, out: Path, *options: str) -> int:
    return main(["few-shot", "--recipe", str(recipe), "--out", str(out), *options])


def test_one_command_makes_every_cell_once_and_a_table_with_intervals(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _run(recipe, out) == 0
    printed = capsys.readouterr().out
    result = FewShotResult.model_validate_json((out / RESULT).read_text())
    table = result.tables[0]
    assert markdown(table) in printed
    assert (table.seeds, table.pictures, table.shots) == (2, 3, [1, "full"])
    assert {mode: len(row) for mode, row in table.modes.items()} == {"full": 2, "prompt": 2, "lora": 2}
    every = [table.zero_shot, *(one for row in table.modes.values() for one in row)]
    assert all(0 <= one.low <= one.value <= one.high <= 1 for one in every)
    cells = sorted(out.rglob("cell.json"))
    assert len(cells) == 1 + 3 * 2 * 2
    assert not list(out.rglob("state.pt"))

    before = {cell: cell.stat().st_mtime_ns for cell in cells}
    cells[1].unlink()
    assert _run(recipe, out) == 0
    made = [cell for cell in cells if cell.stat().st_mtime_ns != before[cell]]
    assert made == [cells[1]]
    assert FewShotResult.model_validate_json((out / RESULT).read_text()) == result


def test_two_do_not_make_cells_in_one_folder(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(tmp_path / "out").locked():
        assert _run(recipe, tmp_path / "out") == 2
    assert "out is being written by another job" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_of_several_datasets_the_mean_is_told_too(recipe: Path, tmp_path: Path) -> None:
    fields = yaml.safe_load(recipe.read_text())
    birds = {part: str(coco_dataset(tmp_path / f"birds-{part}", pictures)) for part, pictures in BIRDS.items()}
    fields |= {"datasets": [*fields["datasets"], {"name": "birds", **birds}], "shots": [1], "modes": ["prompt"]}
    recipe.write_text(yaml.safe_dump(fields | {"seeds": 1}))
    assert _run(recipe, tmp_path / "out") == 0
    pets, birds_alone, mean = FewShotResult.model_validate_json((tmp_path / "out" / RESULT).read_text()).tables
    assert (mean.dataset, mean.pictures) == ("mean over 2 datasets", pets.pictures + birds_alone.pictures)
    assert f"(95 % interval), 1 seed, {mean.pictures} pictures; zero-shot" in markdown(mean)
    assert mean.zero_shot.value == pytest.approx((pets.zero_shot.value + birds_alone.zero_shot.value) / 2)
    [one], [other], [both] = (table.modes["prompt"] for table in (pets, birds_alone, mean))
    assert both.value == pytest.approx((one.value + other.value) / 2)
    assert both.low <= both.value <= both.high


def test_a_test_part_that_is_learned_from_is_refused(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = yaml.safe_load(recipe.read_text())
    fields["datasets"][0]["test"] = fields["datasets"][0]["train"]
    recipe.write_text(yaml.safe_dump(fields))
    assert _run(recipe, tmp_path / "out") == 2
    assert "all of its 5 pictures with boxes are in the training data" in capsys.readouterr().err


def test_a_cell_of_another_recipe_is_made_again(recipe: Path, tmp_path: Path) -> None:
    few = ("--set", "shots=[1]", "--set", "modes=[prompt]", "--set", "seeds=1")
    assert _run(recipe, tmp_path / "out", *few, "--set", "keep_models=true") == 0
    cell = tmp_path / "out" / "pets" / "prompt" / "1-shot-seed-0"
    assert (cell / "run" / "model" / "model.safetensors").exists()
    before = json.loads((cell / "cell.json").read_text())["identity"]
    assert _run(recipe, tmp_path / "out", *few, "--set", "evaluate.chunk_classes=1") == 0
    assert json.loads((cell / "cell.json").read_text())["identity"] != before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("shots=[0]", "zero is always there"),
        ("train.tune=lora", "which the harness fills in"),
        ("metrics=[AP99]", "AP99"),
        ("train.stepz=3", "stepz"),
        ("train_by_mode.lora.evaluation.datasets=[nowhere]", "nowhere"),
        ("train.evaluation={datasets: [test], metric: AP99}", "evaluation.metric: no dataset has 'AP99'"),
        ("train.evaluation.datasets=[train]", "all of its 5 pictures with boxes are in the training data"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_any_work(
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    override: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(recipe, tmp_path / "out", "--set", override) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in told
    assert told.startswith("glip-engine: error:")
    assert not list((tmp_path / "out").rglob("cell.json"))
