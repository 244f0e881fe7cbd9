"""Retraining: done when it is due, once, by one process; gone on with after a crash; told where it fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from engine.retraining.records import RetrainRecords
from pipelines import retrain as retrain_module
from pipelines.cli import main
from pipelines.registry import promote
from pipelines.retrain import retrain
from pipelines.schedule import open_schedule
from schemas.recipes import load_recipe
from schemas.retrain import RetrainFacts, RetrainRecord
from schemas.retrain_recipes import RetrainRecipe

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def fields(random_checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    """A tiny generation into a registry whose first version is there; its gate never lets a student pass."""
    torch.set_num_threads(1)
    registry = str(tmp_path / "models")
    promote(random_checkpoint, registry, progress=False)

    def scenes(seed: int, count: int) -> dict[str, object]:
        return {"kind": "scenes", "seed": seed, "count": count}

    teacher = {"checkpoint": f"registry:{registry}"}
    generation = {
        "name": "tiny",
        "label": {"source": scenes(1, 2), "teacher": teacher, "min_score": 0.001, "unit_size": 2},
        "gold": [{"name": "human", "format": "scenes", "scenes": scenes(2, 2)}],
        "evaluation": [{"name": "held-out", "format": "scenes", "scenes": scenes(3, 2)}],
        "selection": "all",
        "train": {"steps": 1, "batch_size": 2, "loader_threads": 0, "min_sizes": [64], "max_size": 96},
        "gate": {"rules": [{"metric": "phrase_recall@1", "must": "exceed", "margin": 0.99}], "resamples": 100},
        "registry": registry,
    }
    return {"generation": generation, "runs": str(tmp_path / "runs"), "policy": {"new_pairs": 2, "phrase_growth": 50}}


def recipe_of(fields: dict[str, Any], **changed: Any) -> RetrainRecipe:
    return RetrainRecipe.model_validate({**fields, **changed})


def call(recipe: RetrainRecipe, **options: Any) -> Any:
    return retrain(recipe, backend="inline", progress=options.pop("progress", False), **options)


def grown(fields: dict[str, Any], count: int) -> dict[str, Any]:
    changed = json.loads(json.dumps(fields))
    changed["generation"]["label"]["source"]["count"] = count
    return changed


def test_it_runs_when_due_rests_when_not_and_runs_again_when_the_source_has_grown(
    fields: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first = call(recipe_of(fields), progress=True)
    assert (first.outcome, first.run.number, first.run.because) == ("refused", 1, ["there has been no run yet"])
    assert Path(first.run.page).is_file()
    assert first.run.teacher_after == first.run.facts.teacher

    second = call(recipe_of(fields), progress=True)
    assert (second.outcome, second.due, second.run) == ("not due", False, None)
    said = capsys.readouterr().out
    assert "retraining is due: there has been no run yet" in said
    assert "retraining is not due: 0 pairs are new or have changed, 2 make a run due; 0 new captions" in said

    assert not call(recipe_of(grown(fields, 3))).due
    third = call(recipe_of(grown(fields, 8)))
    assert (third.outcome, third.run.number) == ("refused", 2)
    assert third.run.because[0] == "6 pairs are new or have changed, 2 make a run due"
    assert "6 new captions name" in (third.run.because + third.not_due)[-1]


def test_a_promoted_student_is_no_new_teacher_and_another_one_is(fields: dict[str, Any], tmp_path: Path) -> None:
    fields["generation"]["gate"]["rules"][0] = {"metric": "phrase_recall@1", "must": "exceed", "margin": 0}
    recipe = recipe_of(fields, policy={"new_teacher": True})
    first = call(recipe)
    assert first.outcome == "promoted"
    assert first.run.promoted.endswith("@2")
    assert not call(recipe).due
    promote("nano", str(tmp_path / "models"), force="a test", progress=False)
    assert retrain_module._judged(
        recipe, RetrainRecords(str(tmp_path / "models")).last(), retrain_module.observe(recipe), NOW
    ).due


def test_a_run_whose_process_died_is_gone_on_with_where_it_stopped(fields: dict[str, Any]) -> None:
    recipe = recipe_of(fields)
    records = RetrainRecords(fields["generation"]["registry"])
    done = call(recipe).run
    with records.held():  # as it was before the end
        records.write(done.model_copy(update={"finished": None, "outcome": None}))
    labels = Path(done.folder, "pseudo/shards/000000.tar").stat().st_mtime_ns
    again = call(recipe)
    assert (again.run.number, again.run.attempts, again.outcome) == (1, 2, "refused")
    assert "did not end" in again.run.because[0]
    assert Path(done.folder, "pseudo/shards/000000.tar").stat().st_mtime_ns == labels


def test_a_failure_is_recorded_told_and_attempted_until_it_is_given_up(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(retrain_module, "send", lambda notify, event: told.append(event))
    fields["generation"]["gold"] = [{"name": "human", "format": "coco", "path": str(tmp_path / "nowhere")}]
    recipe = recipe_of(fields, max_attempts=2, notify={"url": "http://127.0.0.1/x"})
    for attempt in (1, 2):
        with pytest.raises(ValueError, match="nowhere does not exist"):
            call(recipe)
        run = RetrainRecords(fields["generation"]["registry"]).last()
        assert run is not None
        assert (run.attempts, run.outcome) == (attempt, "failed")
        assert "ValueError" in Path(run.folder, "failure.txt").read_text()
    assert [(one["event"], one["run"]["attempts"]) for one in told] == [("failed", 1), ("failed", 2)]
    assert not call(recipe).due, "the same again would fail the same"
    fields["generation"]["gold"][0] = {"name": "human", "format": "scenes", "scenes": {"count": 2, "seed": 2}}
    mended = call(recipe_of(fields))
    assert (mended.run.number, mended.outcome) == (2, "refused")
    assert "the recipe has changed since" in mended.run.because[-1]


def test_a_run_that_is_told_to_stop_has_made_no_attempt(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    recipe, work = recipe_of(fields), retrain_module.generation

    def stopped(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    for _ in range(4):
        monkeypatch.setattr(retrain_module, "generation", stopped)
        with pytest.raises(KeyboardInterrupt):
            call(recipe)
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setattr(retrain_module, "generation", work)
    assert call(recipe).run.attempts == 1


def test_two_at_once_are_one_run(fields: dict[str, Any]) -> None:
    recipe = recipe_of(fields)
    with RetrainRecords(fields["generation"]["registry"]).held():
        result = call(recipe)
    assert result.outcome == "busy"
    assert RetrainRecords(fields["generation"]["registry"]).last() is None


def test_the_command_tells_by_its_status_what_came_of_it(
    fields: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "retrain.yaml"
    file.write_text(yaml.safe_dump(fields))
    command = ["retrain", "--if-due", "--recipe", str(file), "--inline", "--json"]
    assert main(command) == 3
    assert json.loads(capsys.readouterr().out)["outcome"] == "refused"
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "not due"
    with RetrainRecords(fields["generation"]["registry"]).held():
        assert main(command) == 75
    shutil.rmtree(tmp_path / "models" / "versions")
    capsys.readouterr()
    assert main(command) == 2
    assert "rollback" in json.loads(capsys.readouterr().out)["error"]


def test_the_example_is_a_recipe_with_a_schedule() -> None:
    recipe = load_recipe(RetrainRecipe, Path(__file__).parents[2] / "recipes" / "retrain.yaml")
    after_summer_time = open_schedule(recipe).next(datetime(2026, 3, 29, tzinfo=UTC))
    assert after_summer_time == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_a_recipe_whose_teacher_is_not_the_registrys_is_refused(fields: dict[str, Any]) -> None:
    fields["generation"]["label"]["teacher"]["checkpoint"] = "nano"
    with pytest.raises(ValueError, match="whose current version teaches"):
        recipe_of(fields)


def test_a_damaged_record_says_what_to_do(fields: dict[str, Any]) -> None:
    records = RetrainRecords(fields["generation"]["registry"])
    record = RetrainRecord(
        number=1, folder="x", because=[], recipe_digest="r", begun=NOW, finished=NOW, facts=RetrainFacts()
    )
    with records.held():
        records.write(record)
    Path(records.store.root, "000001.json").write_text("{")
    with pytest.raises(ValueError, match="delete it"):
        call(recipe_of(fields))
