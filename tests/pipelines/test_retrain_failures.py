"""Retrainings that stop, fail, are overtaken or cannot begin: what is on record, what is told, what comes next."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_retraining import HOOK, call, let_pass, recipe_of, tiny_retraining

from engine.registry import Registry
from engine.retraining.records import RetrainRecords
from pipelines import retrain as retrain_module
from pipelines.cli import main
from pipelines.mirror import MIRROR
from pipelines.schedule import schedule_status
from schemas.registry import MirrorSetting
from schemas.retrain import RetrainFacts, RetrainRecord, SourcePart
from schemas.retrain_recipes import RetrainRecipe

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def fields(random_checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    return tiny_retraining(random_checkpoint, tmp_path)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the webhook hears."""
    heard: list[Any] = []

    def send(_: Any, event: dict[str, Any]) -> bool:
        heard.append(event)
        return True

    monkeypatch.setattr(retrain_module, "send", send)
    return heard


def test_a_failure_is_recorded_told_and_attempted_until_it_is_given_up(
    fields: dict[str, Any], told: list[Any], tmp_path: Path
) -> None:
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
    assert "the recipe has changed since" in mended.because[-1]


def test_the_command_says_where_the_traceback_of_a_failed_run_is(
    fields: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields["generation"]["gold"] = [{"name": "human", "format": "coco", "path": str(tmp_path / "nowhere")}]
    (tmp_path / "retrain.yaml").write_text(yaml.safe_dump(fields))
    assert main(["retrain", "--recipe", str(tmp_path / "retrain.yaml"), "--inline", "--json"]) == 2
    printed = capsys.readouterr()
    told = f"; its traceback is {tmp_path}/runs/000001/failure.txt"
    assert printed.err.endswith(f"{told}\n")
    assert json.loads(printed.out)["error"].endswith(told)
    assert Path(told.rpartition(" ")[2]).is_file()


def test_a_run_that_is_told_to_stop_has_made_no_attempt(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, work = recipe_of(fields), retrain_module.generation

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for _ in range(4):
        monkeypatch.setattr(retrain_module, "generation", stopped)
        with pytest.raises(KeyboardInterrupt):
            call(recipe)
    monkeypatch.setattr(retrain_module, "generation", work)
    assert call(recipe).run.attempts == 1


def leave_unfinished(recipe: RetrainRecipe, attempts: int, **changed: Any) -> None:
    """A first run on record whose process died."""
    facts = retrain_module.observe(recipe).model_copy(update=changed)
    begun = retrain_module._begin(recipe, None, ["a test"], facts, NOW)
    records = RetrainRecords(str(recipe.generation.registry))
    with records.held():
        records.write(begun.model_copy(update={"attempts": attempts}))


def test_a_run_whose_source_has_grown_since_it_stopped_is_made_anew(fields: dict[str, Any], told: list[Any]) -> None:
    recipe = recipe_of(fields, policy={"new_pairs": 1000}, notify=HOOK)
    leave_unfinished(recipe, 1, parts={"another": SourcePart(rows=1, digest="x")})
    again = call(recipe)
    assert (again.run.number, again.run.attempts, again.outcome) == (2, 1, "refused")
    assert again.because == ["run 1 failed, and the source has changed since"]
    assert [(one["event"], one["run"]["number"]) for one in told] == [("failed", 1), ("refused", 2)]
    assert told[0]["reason"] == "it did not end, and the source has changed since"


def test_a_run_that_never_ends_is_given_up_aloud(fields: dict[str, Any], told: list[Any]) -> None:
    recipe = recipe_of(fields, max_attempts=2, notify=HOOK)
    leave_unfinished(recipe, 2)
    assert not call(recipe).due
    assert not call(recipe).due
    assert [(one["event"], one["reason"]) for one in told] == [
        ("failed", "it did not end, as often as it was attempted")
    ]


def test_a_failure_is_told_and_on_record_where_its_folder_takes_no_file(
    fields: dict[str, Any], told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Any, folder: str, **__: Any) -> None:
        Path(folder).parent.mkdir()
        Path(folder).write_text("a file in the place of the folder")
        raise RuntimeError("there is no room")

    monkeypatch.setattr(retrain_module, "generation", failing)
    with pytest.raises(RuntimeError, match="there is no room"):
        call(recipe_of(fields, notify=HOOK))
    run = RetrainRecords(fields["generation"]["registry"]).last()
    assert run is not None
    assert (run.outcome, run.reason) == ("failed", "RuntimeError: there is no room")
    assert [one["reason"] for one in told] == [run.reason]


@pytest.mark.parametrize("dies", [True, False])
def test_what_the_webhook_has_not_heard_is_told_by_the_next_call(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dies: bool
) -> None:
    """Where the process ends before it is told, or the webhook is out of reach in the night."""
    heard: list[Any] = []

    def send(_: Any, event: dict[str, Any]) -> bool:
        heard.append((event["event"], event["run"]["number"]))
        if dies and len(heard) == 1:
            raise KeyboardInterrupt
        return len(heard) > 2

    monkeypatch.setattr(retrain_module, "send", send)
    recipe = recipe_of(fields, notify=HOOK)
    with pytest.raises(KeyboardInterrupt) if dies else nullcontext():
        call(recipe)
    schedule_status(recipe)
    assert "the webhook has not been told; the next call tells it" in capsys.readouterr().out
    for _ in range(3):
        assert call(recipe).outcome == "not due"
    assert heard == [("refused", 1)] * 3
    schedule_status(recipe)
    assert "has not been told" not in capsys.readouterr().out


def test_a_failure_that_was_not_told_is_not_told_of_the_attempt_that_mends_it(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, work = recipe_of(fields, notify={**HOOK, "events": ["failed"]}), retrain_module.generation
    monkeypatch.setattr(retrain_module, "send", lambda *_: False)

    def failing(*_: Any, **__: Any) -> None:
        raise RuntimeError("there is no room")

    monkeypatch.setattr(retrain_module, "generation", failing)
    with pytest.raises(RuntimeError, match="there is no room"):
        call(recipe)
    monkeypatch.setattr(retrain_module, "generation", work)
    mended = call(recipe)
    assert mended.because == ["run 1 failed; it is resumed (attempt 2 of 3)"]
    assert (mended.run.outcome, mended.run.attempts, mended.run.untold) == ("refused", 2, False)


def test_what_goes_wrong_before_a_run_is_told(fields: dict[str, Any], told: list[Any]) -> None:
    fields["generation"]["label"]["source"] = {"kind": "webdataset", "uri": "/no/such/folder"}
    with pytest.raises((ValueError, FileNotFoundError), match="/no/such/folder"):
        call(recipe_of(fields, notify=HOOK))
    assert (told[0]["event"], told[0]["run"]) == ("failed", None)
    assert "/no/such/folder" in told[0]["reason"]


def test_a_mirror_that_lags_behind_is_told(
    fields: dict[str, Any], told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    let_pass(fields)
    registry = Registry(fields["generation"]["registry"])
    registry.store.write(MIRROR, MirrorSetting(mlflow_model="glip").model_dump_json().encode())
    result = call(recipe_of(fields, notify=HOOK))
    assert (told[0]["event"], told[0]["run"]["promoted"]) == ("promoted", result.run.promoted)
    assert "is not set here" in told[0]["run"]["mirror_problem"]


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
