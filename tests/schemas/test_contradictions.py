"""What cannot be meant is refused where a recipe is read, and not when it is its turn hours later."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.few_shot_recipes import FewShotRecipe
from schemas.generation_recipes import GateRecipe
from schemas.recipes import EvaluateRecipe, GenerationRecipe, TrainRecipe, load_recipe
from schemas.retrain_recipes import MetricDrop
from schemas.train_recipes import RANDOM_SIZES
from student.session import SIZES

TRAINING: dict[str, tuple[dict[str, Any], str]] = {
    "a range that begins at nothing": ({"scale_jitter": [0, 1]}, r"scale_jitter\.0.*greater than 0"),
    "a range upside down": ({"scale_jitter": [1.5, 0.7]}, "from its smaller end up, not from 1.5 to 0.7"),
    "no size at all": ({"min_sizes": []}, "min_sizes"),
    "a size of nothing": ({"min_sizes": [0]}, "min_sizes"),
    "no long side": ({"max_size": 0}, "max_size"),
    "a milestone in steps": ({"optimizer": {"milestones": [0.5, 700]}}, r"milestones\.1.*less than 1"),
    "a rate without end": ({"optimizer": {"lr": float("inf")}}, r"optimizer\.lr.*finite"),
    "a seed below nothing": ({"seed": -1}, "seed"),
    "a seed that no generator takes": ({"seed": 2**40}, "seed"),
    "random weights of no size": ({"init": "random:huge"}, "is random:nano or random:tiny or random:large"),
    "a digest of random weights": ({"init": "random:nano", "init_sha256": "0" * 64}, "init_sha256: for a checkpoint"),
    "a tower for whole weights": ({"init": "nano", "image_tower": "swin.pth"}, "image_tower: for a random start"),
    "no such figure": ({"evaluation": {"datasets": ["val"], "metric": "recall@1"}}, "no evaluation gives 'recall@1'"),
}
GENERATION: dict[str, tuple[dict[str, Any], str]] = {
    "a slip in train": ({"train": {"stepz": 3}}, "train: unknown field 'stepz'; did you mean 'steps'"),
    "a value in train": ({"train": {"seed": "x"}}, "train: field 'seed'"),
    "a slip in evaluate": ({"evaluate": {"limitt": 3}}, "evaluate: unknown field 'limitt'"),
    "a teacher's size": ({"evaluate": {"teacher": {"min_size": 0}}}, r"evaluate\.teacher: field 'min_size'"),
    "a tower for the teacher's weights": ({"train": {"image_tower": "swin.pth"}}, "image_tower: for a random start"),
    "a rule on no figure": ({"gate": {"rules": [{"metric": "recall@1"}]}}, "no evaluation gives 'recall@1'"),
    "a rule on no dataset": (
        {"gate": {"rules": [{"metric": "AP", "dataset": "held_out"}]}},
        "dataset 'held_out'; those of `evaluation` are held-out",
    ),
}


@pytest.mark.parametrize("name", TRAINING)
def test_a_training_that_cannot_be_meant_is_refused(name: str) -> None:
    fields, told = TRAINING[name]
    with pytest.raises(ValueError, match=told):
        load_recipe(TrainRecipe, None, fields={"mix": [{"dataset": "human"}], **fields})


@pytest.mark.parametrize("name", GENERATION)
def test_a_generation_is_refused_for_what_its_jobs_cannot_do(name: str) -> None:
    fields, told = GENERATION[name]
    scenes = {"format": "scenes", "scenes": {"kind": "scenes"}}
    plain = {
        "name": "one",
        "label": {"source": {"kind": "scenes"}},
        "gold": [{"name": "human", **scenes}],
        "evaluation": [{"name": "held-out", **scenes}],
    }
    assert load_recipe(GenerationRecipe, None, fields=plain).gate == GateRecipe()
    with pytest.raises(ValueError, match=told):
        load_recipe(GenerationRecipe, None, fields={**plain, **fields})


def test_every_recipe_that_names_a_figure_knows_the_protocols() -> None:
    parts = {"name": "pets", "train": "a", "test": "b"}
    for recipe, fields in (
        (MetricDrop, {"dataset": "a", "metric": "mAP"}),
        (GateRecipe, {"rules": [{"metric": "mAP"}]}),
    ):
        with pytest.raises(ValueError, match="no evaluation gives 'mAP'; names of figures begin with AP,"):
            recipe.model_validate(fields)
    with pytest.raises(ValueError, match="no evaluation gives 'mAP'"):
        FewShotRecipe.model_validate({"datasets": [parts], "metrics": ["AP", "mAP"]})


def test_a_recipe_holds_no_number_that_its_saved_form_does_not() -> None:
    """JSON has no infinity: a run that was stopped would be of another recipe."""
    with pytest.raises(ValueError, match="finite"):
        EvaluateRecipe(datasets=("a",), min_score=float("nan"))


def test_a_random_start_has_the_sizes_that_a_recipe_may_name() -> None:
    assert tuple(SIZES) == RANDOM_SIZES
