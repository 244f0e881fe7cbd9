"""Retraining: done when it is due, once, by one process; gone on with after a crash."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_retraining import call, let_pass, recipe_of, tiny_retraining

from engine.retraining.records import RetrainRecords
from pipelines import retrain as retrain_module
from pipelines.cli import main
from pipelines.registry import promote, rollback
from pipelines.retraining import facts
from pipelines.schedule import open_schedule
from schemas.recipes import load_recipe
from schemas.retrain_recipes import RetrainRecipe

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def fields(random_checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    return tiny_retraining(random_checkpoint, tmp_path)


def grown(fields: dict[str, Any], count: int) -> dict[str, Any]:
    changed = json.loads(json.dumps(fields))
    changed["generation"]["label"]["source"]["count"] = count
    return changed


def test_it_runs_when_due_rests_when_not_and_runs_again_when_the_source_has_grown(
    fields: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = call(recipe_of(fields), progress=True)
    assert (first.outcome, first.run.number, first.run.because) == ("refused", 1, ["there has been no run yet"])
    assert Path(first.run.page).is_file()
    assert first.run.teacher_after == first.run.facts.teacher

    with monkeypatch.context() as patch:
        patch.setattr(facts, "PhraseParser", None)  # which takes seconds to open
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
    let_pass(fields)
    recipe = recipe_of(fields, policy={"new_teacher": True})
    first = call(recipe)
    assert first.outcome == "promoted"
    assert first.run.promoted.endswith("@2")
    assert not call(recipe).due
    promote("nano", str(tmp_path / "models"), force="a test", progress=False)
    assert retrain_module._decided(
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
    assert "did not end" in again.because[0]
    assert again.run.because == ["there has been no run yet"], "why it was due stays on record"
    assert Path(done.folder, "pseudo/shards/000000.tar").stat().st_mtime_ns == labels


def test_a_rollback_is_no_new_teacher(fields: dict[str, Any]) -> None:
    let_pass(fields)
    recipe = recipe_of(fields, policy={"new_teacher": True})
    assert call(recipe).outcome == "promoted"
    rollback(fields["generation"]["registry"], reason="worse at night", progress=False)
    rested = call(recipe)
    assert (rested.due, rested.not_due[0].split("; ")[1]) == (False, "it was rolled back to")


def test_a_registry_that_was_begun_anew_leaves_the_folders_of_the_old_one(fields: dict[str, Any]) -> None:
    Path(fields["runs"], "000001").mkdir(parents=True)
    assert call(recipe_of(fields)).run.number == 2


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
