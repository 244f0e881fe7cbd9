"""An evaluation along a run: every checkpoint has its figure, the best model is kept, and nobody is judged by what it
learned."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from coco_folders import coco_dataset
from killed_jobs import call_apart

from glip.checkpoint import load_model, save_model
from pipelines.train import result_line, train
from pipelines.training.evaluation import BEST, EVALUATIONS, EvaluateAlong, Standing, best_of, standings
from schemas.recipes import MixEntry, RunEvaluation, TrainRecipe
from student import trainer
from student.checkpoint import STATE


@pytest.fixture
def recipe(tmp_path: Path, random_checkpoint: Path) -> TrainRecipe:
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
    assert len({one.model_digest for one in found}) == 3, "each model is judged, and not the first one each time"
    assert result.best == best_of(found)
    assert result.best is not None
    assert load_model(tmp_path / "run" / BEST).metadata["steps"] == result.best.steps
    assert load_model(tmp_path / "run" / BEST).digest == result.best.model_digest
    assert load_model(tmp_path / "run" / "model").digest == found[-1].model_digest
    assert f"is {tmp_path / 'run' / BEST}, after {result.best.steps} of 3 steps; next: " in result_line(result)
    before = result.best.model_digest
    more = train(recipe.model_copy(update={"steps": 4}), tmp_path / "run", progress=False)
    assert [one.steps for one in standings(tmp_path / "run")] == [1, 2, 3, 4]
    if more.best == result.best:
        assert load_model(tmp_path / "run" / BEST).digest == before


def test_steps_that_are_made_again_are_judged_again(
    recipe: TrainRecipe, second_checkpoint: Path, tmp_path: Path
) -> None:
    def saved_after(steps: int, checkpoint: Path | str) -> Path:
        found = load_model(checkpoint)
        return save_model(tmp_path / "model", found.model, found.tokenizer, {"steps": steps})

    assert recipe.evaluation is not None
    along = EvaluateAlong(recipe.evaluation, tmp_path)
    for steps in (1, 2, 3):
        along(steps, saved_after(steps, recipe.init))
    assert [one.steps for one in standings(tmp_path)] == [1, 2, 3]
    saved = saved_after(2, second_checkpoint)
    along(2, saved)
    assert [one.steps for one in standings(tmp_path)] == [1, 2]
    before = (tmp_path / EVALUATIONS).stat().st_mtime_ns
    along(2, saved)  # judged already
    along(1, saved)  # of other steps
    along(2, tmp_path / "none")
    assert (tmp_path / EVALUATIONS).stat().st_mtime_ns == before


def test_a_run_that_was_stopped_before_its_last_checkpoint_was_judged_has_it_judged(
    recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: EvaluateAlong, steps: int, model: Path) -> None:
        if steps == recipe.steps:
            raise KeyboardInterrupt
        judged(self, steps, model)

    judged = EvaluateAlong.__call__
    with monkeypatch.context() as patched:
        patched.setattr(EvaluateAlong, "__call__", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "run", progress=False)
    assert [one.steps for one in standings(tmp_path / "run")] == [1, 2]
    losses = [json.loads(line) for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    result = train(recipe, tmp_path / "run", progress=False)
    assert [one.steps for one in standings(tmp_path / "run")] == [1, 2, 3]
    assert result.losses == {name: value for name, value in losses[-1].items() if name != "step"}


@pytest.mark.parametrize("change", ["another dataset", "limit"])
def test_what_was_judged_on_other_data_is_no_better_and_no_worse(
    recipe: TrainRecipe, tmp_path: Path, change: str
) -> None:
    train(recipe, tmp_path / "run", progress=False)
    lines = [one.model_copy(update={"value": 0.99}) for one in standings(tmp_path / "run")]
    (tmp_path / "run" / EVALUATIONS).write_text("".join(one.model_dump_json() + "\n" for one in lines))
    assert recipe.evaluation is not None
    other = {"datasets": (str(coco_dataset(tmp_path / "other", [["dog", "dog"], ["cat"], ["dog"]])),)}
    evaluation = recipe.evaluation.model_copy(update=other if change == "another dataset" else {"limit": 1})
    result = train(recipe.model_copy(update={"steps": 4, "evaluation": evaluation}), tmp_path / "run", progress=False)
    assert [one.steps for one in standings(tmp_path / "run")] == [3, 4]
    assert result.best is not None
    assert result.best.value < 0.99
    assert load_model(tmp_path / "run" / BEST).digest == result.best.model_digest


def test_the_best_of_a_run_whose_state_was_deleted_is_not_that_of_the_next_one(
    recipe: TrainRecipe, tmp_path: Path
) -> None:
    train(recipe, tmp_path / "run", progress=False)
    lines = [one.model_copy(update={"value": 0.99}) for one in standings(tmp_path / "run")]
    (tmp_path / "run" / EVALUATIONS).write_text("".join(one.model_dump_json() + "\n" for one in lines))
    (tmp_path / "run" / STATE).unlink()
    result = train(recipe.model_copy(update={"seed": 1, "checkpoint_every": 3}), tmp_path / "run", progress=False)
    assert [one.steps for one in standings(tmp_path / "run")] == [3]
    assert result.best is not None
    best = load_model(tmp_path / "run" / BEST).digest
    assert best == result.best.model_digest == load_model(result.checkpoint).digest


def test_what_an_evaluation_computes_with_is_not_what_training_goes_on_with(
    recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, threads, steps = torch.get_num_threads(), [], trainer.train_step

    def watched(*given: Any) -> Any:
        threads.append(torch.get_num_threads())
        return steps(*given)

    monkeypatch.setattr(trainer, "train_step", watched)
    torch.set_num_threads(3)
    try:
        train(recipe, tmp_path / "run", progress=False)
    finally:
        torch.set_num_threads(before)
    assert threads == [3, 3, 3]


def _told_on_a_full_disk(recipe: RunEvaluation, run: Path, steps: int, limit: int) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(OSError) as caught:
        EvaluateAlong(recipe, run)(steps, run / "model")
    return str(caught.value)


def test_a_disk_that_is_full_while_the_best_model_is_kept_leaves_the_one_before(
    recipe: TrainRecipe, tmp_path: Path
) -> None:
    assert recipe.evaluation is not None
    start, run = load_model(recipe.init), tmp_path / "run"
    save_model(run / BEST, start.model, start.tokenizer, {"steps": 1})
    save_model(run / "model", start.model, start.tokenizer, {"steps": 2})
    said = call_apart(_told_on_a_full_disk, recipe.evaluation, run, 2, 100_000)
    assert said.startswith(f"the model could not be copied into {run / BEST} (")
    assert "what was there before is whole, and so is the checkpoint: make room on the disk" in said
    assert load_model(run / BEST).metadata["steps"] == 1
    assert standings(run) == [], "it is judged again"
    EvaluateAlong(recipe.evaluation, run)(2, run / "model")
    assert load_model(run / BEST).metadata["steps"] == 2


def test_of_equal_models_the_earliest_is_the_best() -> None:
    values = {1: 0.2, 2: 0.5, 3: 0.5, 4: 0.1}
    same = {"model_digest": "m", "judged_by": "j", "metric": "AP", "datasets": {}}
    found = [Standing.model_validate({**same, "steps": steps, "value": value}) for steps, value in values.items()]
    assert best_of(found).steps == 2


def test_a_dataset_of_the_mix_and_an_unknown_metric_are_refused(recipe: TrainRecipe, tmp_path: Path) -> None:
    evaluation = recipe.evaluation
    assert evaluation is not None
    learned = evaluation.model_copy(update={"datasets": (recipe.mix[0].dataset,)})
    with pytest.raises(ValueError, match="is learned from: all of its 3 pictures"):
        train(recipe.model_copy(update={"evaluation": learned}), tmp_path / "a", progress=False)
    other = recipe.model_copy(update={"evaluation": evaluation.model_copy(update={"metric": "phrase_recall@1"})})
    with pytest.raises(ValueError, match="no dataset has 'phrase_recall@1'; there are: AP, AP50"):
        train(other, tmp_path / "c", progress=False)
    missing = evaluation.model_copy(update={"datasets": (str(tmp_path / "none"),)})
    with pytest.raises(ValueError, match="none"):
        train(recipe.model_copy(update={"evaluation": missing}), tmp_path / "d", progress=False)
    unknown = evaluation.model_copy(update={"metric": "AP99"})
    with pytest.raises(ValueError, match=r"no dataset has 'AP99'; there are: .*AP50"):
        train(recipe.model_copy(update={"evaluation": unknown}), tmp_path / "b", progress=False)
    assert not [*(tmp_path / "b").glob("*"), *(tmp_path / "c").glob("*"), *(tmp_path / "d").glob("*")], "before a step"
