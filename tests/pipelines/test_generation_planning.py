"""A training that could not begin, or a rule that no figure answers, is told before hours of work; and what was refused
after them without need is made."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_generations import tiny_generation

from glip.checkpoint import load_model, save_model
from pipelines.generation import generation
from pipelines.generation_plan import plan_generation
from pipelines.models.candidate_weights import candidate_model
from schemas.recipes import GoldSource, MixEntry, TrainRecipe
from student.tuning import OFFSETS, prepare


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"train": {"accumulation": 3}}, "batch_size 2 cannot be shared by 1 workers, each in 3 parts"),
        ({"train_workers": 4}, "batch_size 2 cannot be shared by 4 workers"),
        ({"train": {"init": "random:nano"}}, "init 'random:nano' needs `tokenizer`"),
        ({"evaluate": {"teacher": {"device": "cuda"}}}, "this machine has no CUDA device"),
    ],
)
def test_a_generation_that_could_not_come_to_its_end_is_refused_before_any_work(
    random_checkpoint: Path, tmp_path: Path, wrong: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    train = {"steps": 1, **wrong.pop("train", {})}
    recipe = tiny_generation(random_checkpoint, scenes=(2, 2, 2), unit_size=2, train=train, **wrong)
    with pytest.raises(ValueError, match=expected):
        plan_generation(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_ray_cannot_train_in_is_told_before_any_work(
    random_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/größe")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    fields: dict[str, Any] = {"scenes": (2, 2, 2), "unit_size": 2, "train": {"steps": 1}}
    with pytest.raises(ValueError, match="RAY_TMPDIR is '/tmp/größe', where Ray cannot have its sockets"):
        plan_generation(tiny_generation(random_checkpoint, **fields, train_workers=2), tmp_path / "out")
    plan_generation(tiny_generation(random_checkpoint, **fields), tmp_path / "out")


def test_figures_that_nobody_could_send_are_told_before_any_work(
    random_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_generation(random_checkpoint, scenes=(2, 2, 2), unit_size=2, train={"steps": 1})
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "mlflow" else find(name, *more)
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_URI is set, but MLflow is not installed"):
        plan_generation(recipe, tmp_path / "out")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"metric": "AP50"}, "gate: no dataset has 'AP50'; there are: phrase_recall@1, phrase_recall@5"),
        ({"metric": "phrase_recall@2"}, "gate: no dataset has 'phrase_recall@2'"),
        ({"metric": "AP", "dataset": "held-out"}, "gate: held-out does not have 'AP'"),
    ],
)
def test_a_rule_that_the_data_cannot_answer_is_told_before_they_are_labelled(
    random_checkpoint: Path, tmp_path: Path, rule: dict[str, Any], expected: str
) -> None:
    recipe = tiny_generation(
        random_checkpoint, scenes=(2, 2, 2), unit_size=2, train={"steps": 1}, gate={"rules": [rule]}
    )
    with pytest.raises(ValueError, match=expected):
        generation(recipe, tmp_path, backend="inline", progress=False)
    assert not (tmp_path / "pseudo").exists()


def test_what_decides_is_not_what_is_learned_from(random_checkpoint: Path, tmp_path: Path) -> None:
    def human(name: str, first: int, count: int) -> dict[str, Any]:
        return {"name": name, "format": "scenes", "scenes": {"seed": 2, "first_index": first, "count": count}}

    parts = {"scenes": (2, 2, 2), "unit_size": 2, "train": {"steps": 1, "batch_size": 1}}
    recipe = tiny_generation(
        random_checkpoint, **parts, gold=[human("human", 0, 4)], evaluation=[human("held-out", 2, 2)]
    )
    with pytest.raises(
        ValueError, match="held-out is learned from: all of its 2 pictures with boxes are in the training"
    ):
        generation(recipe, tmp_path / "same", backend="inline", progress=False)
    assert not (tmp_path / "same" / "pseudo").exists()
    some = recipe.model_copy(update={"evaluation": (GoldSource.model_validate(human("held-out", 3, 2)),)})
    plan = plan_generation(some, tmp_path / "some")
    plan.import_human()
    warm_up, told = plan.check_exams()
    assert told == f"{tmp_path}/some/gold/held-out: 1 of its 2 pictures with boxes are learned from, too"
    assert "before the warm-up does at step 100" in warm_up


def test_the_mean_of_a_model_tuned_by_prompt_has_half_of_what_was_added(
    random_checkpoint: Path, tmp_path: Path
) -> None:
    """It begins from offsets of 0, so that halfway is no other shape."""
    loaded = load_model(random_checkpoint)
    prepare(loaded.model, TrainRecipe(mix=(MixEntry(dataset="x"),), tune="prompt"))
    with torch.no_grad():
        loaded.model.get_parameter(OFFSETS)[3] = 0.5
    tuned = save_model(tmp_path / "model", loaded.model, loaded.tokenizer, {})
    half = load_model(candidate_model(tmp_path, str(tuned), "averaged", str(random_checkpoint))).model.state_dict()
    assert half[OFFSETS][3].eq(0.25).all()
    assert not half[OFFSETS][:3].any()
    assert all(
        torch.equal(half[name], value) for name, value in load_model(random_checkpoint).model.state_dict().items()
    )


def test_a_generation_goes_on_whatever_the_order_of_the_recipes_fields(random_checkpoint: Path, tmp_path: Path) -> None:
    def planned(train: dict[str, Any]) -> None:
        recipe = tiny_generation(random_checkpoint, scenes=(2, 2, 2), unit_size=2, train=train)
        plan_generation(recipe, tmp_path)

    planned({"steps": 1, "seed": 3})
    planned({"seed": 3, "steps": 1})
    with pytest.raises(ValueError, match="holds a generation of another recipe"):
        planned({"seed": 3, "steps": 2})
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(ValueError, match="holds a generation of another recipe"):
        planned({"seed": 3, "steps": 1})
