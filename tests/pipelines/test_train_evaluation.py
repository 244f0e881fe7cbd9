"""An evaluation along a run: every checkpoint has its figure, the best model is kept, and nobody is judged by what it
learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from coco_folders import coco_dataset

from glip.checkpoint import load_model
from pipelines.train import train
from pipelines.training.evaluation import BEST, EVALUATIONS, EvaluateAlong, Standing, best_of, standings
from schemas.recipes import MixEntry, RunEvaluation, TrainRecipe


@pytest.fixture
def recipe(tmp_path: Path, random_checkpoint: Path) -> TrainRecipe:
    torch.set_num_threads(1)
    learned = coco_dataset(tmp_path / "learned", [["cat"], ["dog"], ["cat", "dog"]])
    judged = coco_dataset(tmp_path / "judged", [["dog"], ["cat"]])
    return TrainRecipe(
        mix=(MixEntry(dataset=str(learned)),),
        init=str(random_checkpoint),
        steps=3,
        batch_size=2,
        min_sizes=(64,),
        max_size=96,
        checkpoint_every=1,
        evaluation=RunEvaluation(datasets=(str(judged),), metric="AP50"),
        loader_threads=0,
    )


def test_every_checkpoint_has_its_figure_and_the_best_model_is_kept(recipe: TrainRecipe, tmp_path: Path) -> None:
    result = train(recipe, tmp_path / "run", progress=False)
    found = standings(tmp_path / "run")
    assert [one.steps for one in found] == [1, 2, 3]
    assert result.best == best_of(found)
    assert result.best is not None
    assert load_model(tmp_path / "run" / BEST).metadata["steps"] == result.best.steps
    before = load_model(tmp_path / "run" / BEST).digest
    more = train(recipe.model_copy(update={"steps": 4}), tmp_path / "run", progress=False)
    assert [one.steps for one in standings(tmp_path / "run")] == [1, 2, 3, 4]
    if more.best == result.best:
        assert load_model(tmp_path / "run" / BEST).digest == before


def test_steps_that_are_made_again_are_judged_again(recipe: TrainRecipe, tmp_path: Path) -> None:
    assert recipe.evaluation is not None
    lines = [Standing(steps=steps, metric="AP50", value=0.0, datasets={}) for steps in (1, 2, 3)]
    (tmp_path / EVALUATIONS).write_text("".join(one.model_dump_json() + "\n" for one in lines))
    EvaluateAlong(recipe.evaluation, tmp_path)(2, Path(recipe.init))
    assert [one.steps for one in standings(tmp_path)] == [1, 2]


def test_of_equal_models_the_earliest_is_the_best() -> None:
    values = {1: 0.2, 2: 0.5, 3: 0.5, 4: 0.1}
    found = [Standing(steps=steps, metric="AP", value=value, datasets={}) for steps, value in values.items()]
    assert best_of(found).steps == 2


def test_a_dataset_of_the_mix_and_an_unknown_metric_are_refused(recipe: TrainRecipe, tmp_path: Path) -> None:
    evaluation = recipe.evaluation
    assert evaluation is not None
    learned = evaluation.model_copy(update={"datasets": (recipe.mix[0].dataset,)})
    with pytest.raises(ValueError, match="is in the mix too"):
        train(recipe.model_copy(update={"evaluation": learned}), tmp_path / "a", progress=False)
    unknown = evaluation.model_copy(update={"metric": "AP99"})
    with pytest.raises(ValueError, match=r"no dataset has 'AP99'; there are: .*AP50"):
        train(recipe.model_copy(update={"evaluation": unknown}), tmp_path / "b", progress=False)
