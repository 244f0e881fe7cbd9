"""The embedded scheduler: serves due times, passes a stop on to the run under way, tells its history."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from python_paths import python_path

from engine.artifacts import Store
from engine.retraining.cron import Cron
from engine.retraining.records import RetrainRecords
from engine.retraining.schedule import Schedule
from pipelines.cli import main
from pipelines.schedule import SystemClock, run_child, serve
from schemas.retrain import RetrainFacts, RetrainRecord, ScheduleState

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
SLEEPS = (
    "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, getattr(signal, sys.argv[1])); "
    "pathlib.Path(sys.argv[2]).touch(); time.sleep(60)"
)


class FakeClock:
    """Time passes by being waited for."""

    def __init__(self, end: datetime, stop: threading.Event) -> None:
        self.at, self.end, self.stop = START, end, stop

    def now(self) -> datetime:
        return self.at

    def wait(self, seconds: float, stop: threading.Event) -> None:
        self.at += timedelta(seconds=seconds)
        if self.at > self.end:
            self.stop.set()


def make_schedule(folder: Path) -> Schedule:
    return Schedule([Cron("0 */6 * * *")], Store(folder), retry=timedelta(minutes=10))


def test_due_times_are_served_in_turn_until_it_is_told_to_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop, due = threading.Event(), []
    clock = FakeClock(START + timedelta(days=1), stop)

    def run(claim: Any, _: threading.Event) -> Any:
        due.append(claim.due)
        clock.at += timedelta(hours=7 if len(due) == 1 else 1)  # the first one takes longer than the period
        return "done", "exit status 0"

    assert serve(make_schedule(tmp_path), run, stop, clock) == 4
    assert [one.hour for one in due] == [18, 0, 6, 12]
    said = capsys.readouterr().out
    assert said.startswith("next: 2026-11-21 18:00 UTC\ndue 2026-11-21 18:00 UTC, attempt 1\ndone: exit status 0\n")


def test_that_another_process_retrains_is_told_once_however_long_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop, outcomes = threading.Event(), iter(["busy"] * 20 + ["done"])
    clock = FakeClock(START + timedelta(hours=7), stop)
    assert serve(make_schedule(tmp_path), lambda *_: (next(outcomes), "so it was"), stop, clock) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[1:4] == ["due 2026-11-21 18:00 UTC, attempt 1", "busy: so it was", "done: so it was"]


def test_a_store_that_does_not_answer_for_a_while_loses_nothing(tmp_path: Path) -> None:
    stop, runs = threading.Event(), []
    schedule = make_schedule(tmp_path)
    poll, fails = schedule.poll, iter([True, False, True, True, False, False, False, False])

    def sometimes(now: datetime) -> Any:
        if next(fails, False):
            raise RuntimeError("the store does not answer")
        return poll(now)

    schedule.poll = sometimes  # type: ignore[method-assign]
    serve(
        schedule,
        lambda claim, _: (runs.append(claim.due), ("done", ""))[1],
        stop,
        FakeClock(START + timedelta(hours=7), stop),
        progress=False,
    )
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(0, "done"), (1, "failed"), (2, "invalid"), (3, "refused"), (75, "busy"), (130, "interrupted")],
)
def test_the_outcome_is_what_the_exit_status_says(status: int, outcome: str) -> None:
    command = [sys.executable, "-c", f"raise SystemExit({status})"]
    assert run_child(command, threading.Event(), 1) == (outcome, f"exit status {status}")


def test_a_run_that_is_killed_has_failed() -> None:
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    assert run_child(command, threading.Event(), 1) == ("failed", "exit status -9")


class StopOnceThere(threading.Event):
    """Set as soon as there is a file: the child is at work, however long it took to start."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.is_set = path.exists  # type: ignore[method-assign]


@pytest.mark.parametrize(("at_sigterm", "stop_s", "said"), [("SIG_DFL", 50, "stopped"), ("SIG_IGN", 0.5, "killed")])
def test_a_stop_is_passed_on_and_enforced(tmp_path: Path, at_sigterm: str, stop_s: float, said: str) -> None:
    command = [sys.executable, "-c", SLEEPS, at_sigterm, str(tmp_path / "at work")]
    outcome, message = run_child(command, StopOnceThere(tmp_path / "at work"), stop_s)
    assert (outcome, message.split()[0].rstrip(",;")) == ("interrupted", said)


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    def scenes(seed: int) -> dict[str, object]:
        return {"kind": "scenes", "seed": seed, "count": 2}

    registry = str(tmp_path / "models")
    generation = {
        "name": "tiny",
        "label": {"source": scenes(1), "teacher": {"checkpoint": f"registry:{registry}"}},
        "gold": [{"name": "human", "format": "scenes", "scenes": scenes(2)}],
        "evaluation": [{"name": "held-out", "format": "scenes", "scenes": scenes(3)}],
        "registry": registry,
    }
    schedule = {"cron": ["30 2 * * *"], "timezone": "Europe/Berlin"}
    file = tmp_path / "retrain.yaml"
    file.write_text(yaml.safe_dump({"generation": generation, "runs": str(tmp_path / "runs"), "schedule": schedule}))
    return file


def test_status_tells_the_last_the_next_and_the_outcome(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["schedule", "status", "--recipe", str(recipe_file)]
    assert main(command) == 0
    assert "no scheduler has run yet" in capsys.readouterr().out
    schedule = Schedule([Cron("30 2 * * *", "Europe/Berlin")], Store(tmp_path / "models" / "schedule"))
    schedule.poll(datetime(2026, 11, 1, tzinfo=UTC))
    claim = schedule.poll(datetime(2026, 11, 2, 3, tzinfo=UTC))
    claim.finish(datetime(2026, 11, 2, 4, tzinfo=UTC), "refused", "exit status 3")  # type: ignore[union-attr]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "due 2026-11-02 02:30 CET  attempt 1  refused      3600 s  exit status 3" in said
    assert "overdue since" in said
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"]["served"] == "2026-11-02T01:30:00Z"


def test_status_tells_what_became_of_the_latest_run_and_what_to_read(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = RetrainFacts(parts={}, teacher="t" * 64)
    at = datetime(2026, 11, 2, 3, tzinfo=UTC)
    run = {"number": 7, "folder": "runs/000007", "because": [], "recipe_digest": "r", "begun": at, "facts": facts}
    records, command = RetrainRecords(str(tmp_path / "models")), ["schedule", "status", "--recipe", str(recipe_file)]
    records.write(RetrainRecord(**run, finished=at, outcome="failed", reason="no space left"))
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "run 7  attempt 1  failed 2026-11-02 04:00 CET: no space left\n  see runs/000007, whose failure.txt" in said
    records.write(RetrainRecord(**run, attempts=0))
    assert main(command) == 0
    assert "run 7  attempt 1  not ended, begun 2026-11-02 04:00 CET\n  see runs/000007\n" in capsys.readouterr().out, (
        "it was stopped, and has left no failure.txt"
    )
    records.write(RetrainRecord(**run, finished=at, outcome="refused", page="runs/000007/report/index.html"))
    assert main(command) == 0
    assert "  see runs/000007/report/index.html\n" in capsys.readouterr().out


def test_a_run_that_no_scheduler_started_is_under_way_too(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a systemd timer or a CronJob: told as dead, somebody would go and mend what is well."""
    facts = RetrainFacts(parts={}, teacher="t" * 64)
    run = RetrainRecord(number=7, folder="x", because=[], recipe_digest="r", begun=datetime.now(UTC), facts=facts)
    records, command = RetrainRecords(str(tmp_path / "models")), ["schedule", "status", "--recipe", str(recipe_file)]
    records.write(run)
    with records.held():
        assert main(command) == 0
    assert "\nunder way\n" in capsys.readouterr().out
    assert main(command) == 0
    assert "\nnothing is under way\n" in capsys.readouterr().out


@pytest.fixture
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler ends where it would begin to wait."""
    monkeypatch.setattr(SystemClock, "wait", lambda self, seconds, stop: stop.set())


@pytest.mark.usefixtures("one_look")
def test_no_process_is_started_to_find_that_another_one_retrains(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    since = datetime.now(UTC) - timedelta(days=3)
    Store(tmp_path / "models" / "schedule").write("state.json", ScheduleState(since=since).model_dump_json().encode())
    with RetrainRecords(str(tmp_path / "models")).held():
        assert main(["schedule", "--recipe", str(recipe_file)]) == 0
    assert "busy: another process is retraining" in capsys.readouterr().out


@pytest.mark.usefixtures("one_look")
def test_an_expression_that_is_none_is_refused_before_anything_runs(
    recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schedule", "--recipe", str(recipe_file), "--set", "schedule.cron=['0 3 * *']"]) == 2
    assert "5 fields" in capsys.readouterr().err
    assert main(["schedule", "--recipe", str(recipe_file), "--set", "schedule.cron=[]"]) == 2
    assert "schedule.cron" in capsys.readouterr().err


@pytest.mark.usefixtures("one_look")
def test_a_webhook_without_an_address_is_told_at_once_and_not_in_the_night(
    recipe_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_HOOK", raising=False)
    assert main(["schedule", "--recipe", str(recipe_file), "--set", "notify={url_from: NO_SUCH_HOOK}"]) == 2
    assert "NO_SUCH_HOOK holds no http" in capsys.readouterr().err


@pytest.mark.slow
def test_a_scheduler_runs_what_is_overdue_and_ends_at_sigterm(recipe_file: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "models" / "schedule")
    since = datetime.now(UTC) - timedelta(days=3)
    store.write("state.json", ScheduleState(since=since).model_dump_json().encode())
    trap = tmp_path / "here" / "pipelines"  # a folder of the user's, which hides no package from the child
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise RuntimeError('a file of the user was imported')\n")
    command = [sys.executable, "-P", "-m", "pipelines.cli", "schedule", "--recipe", str(recipe_file), "--inline"]
    environment = {**os.environ, **python_path(Path(__file__).parents[2])}
    scheduler = subprocess.Popen(command, cwd=trap.parent, env=environment, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while b"invalid" not in store.read("state.json") and time.monotonic() < deadline:
        time.sleep(0.5)  # the registry is empty, so the child ends with status 2
    scheduler.send_signal(signal.SIGTERM)
    out, _ = scheduler.communicate(timeout=300)
    assert scheduler.returncode == 0
    assert "invalid: exit status 2" in out
