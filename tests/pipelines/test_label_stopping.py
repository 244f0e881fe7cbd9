"""A job told to stop, or whose time is up, ends with whole units and status 0, and goes on when it is run again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from job_processes import command_line, descendants, wait_for
from labelled_datasets import checksums, label_inline, tars_recipe
from started_commands import started

from pipelines.labelling.job_log import JobLog
from pipelines.verify import verify
from schemas.recipes import LabelRecipe

UNITS = 150


@pytest.fixture(scope="module")
def recipe(web: Any, tmp_path_factory: pytest.TempPathFactory, random_checkpoint: Path) -> LabelRecipe:
    source = tmp_path_factory.mktemp("web")
    web.tar_of(source / "0.tar", web.samples(UNITS))
    return tars_recipe(source, random_checkpoint, unit_size=1)


@pytest.fixture(scope="module")
def undisturbed(recipe: LabelRecipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed")
    label_inline(recipe, out)
    return checksums(out)


@pytest.mark.parametrize("backend", ["--inline", pytest.param("--workers=2", marks=pytest.mark.slow)])
def test_sigterm_finishes_the_units_in_flight_and_the_same_command_goes_on(
    recipe: LabelRecipe, undisturbed: dict[str, str], tmp_path: Path, backend: str
) -> None:
    out = tmp_path / "out"
    with started("label", recipe, out, backend) as process:
        wait_for(lambda: len(list(out.glob("manifests/*.json"))) > 3, process)
        process.send_signal(signal.SIGTERM)
        printed, told = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "finishing the units that were begun" in told
    done = len(list(out.glob("manifests/*.json")))
    assert 3 < done < UNITS
    assert f"stopped (SIGTERM): {UNITS - done} of {UNITS} units are left; run the same command again" in printed
    left = f"{UNITS - done} of {UNITS} units are missing"
    assert verify(out, progress=False).problems == [
        f"dataset.json: the job has not finished: {left}; run the same command again"
    ]
    result = label_inline(recipe, out)
    assert (result.new_units, result.units_left, result.stopped) == (UNITS - done, 0, None)
    assert checksums(out) == undisturbed


def test_sigterm_while_ray_starts_is_an_interruption_that_is_told(recipe: LabelRecipe, tmp_path: Path) -> None:
    with started("label", recipe, tmp_path / "out", "--workers=2") as process:
        wait_for(lambda: any("gcs_server" in command_line(pid) for pid in descendants(process.pid)), process)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=300)
    assert process.returncode in (0, 130)  # 0 where Ray was just done, and the job could end as it does later
    assert "interrupted; run the same command again" in told or "finishing the units that were begun" in told


def test_a_second_sigterm_ends_the_job_at_once(recipe: LabelRecipe, tmp_path: Path) -> None:
    one_unit, out = recipe.model_copy(update={"unit_size": UNITS}), tmp_path / "out"
    with started("label", one_unit, out, "--inline") as process:
        wait_for((out / "dataset.json").exists, process)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "SIGTERM" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=300)
    # Both are 130 to a shell. `python -m` ends itself by SIGINT where the exception, though it was caught, came in a
    # text given to `exec`, as libraries do while they are imported.
    assert process.returncode in (130, -signal.SIGINT)
    assert "interrupted" in told
    assert list(out.glob("manifests/*.json")) == []


def test_a_budget_ends_the_job_with_whole_units_and_the_next_job_does_the_rest(
    recipe: LabelRecipe, undisturbed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    result = label_inline(recipe, out, budget_hours=1e-9)
    assert (result.units, result.units_left, result.stopped) == (0, UNITS, "the budget is spent")
    a_second_a_unit = SimpleNamespace(monotonic=lambda: len(list(out.glob("manifests/*.json"))))
    monkeypatch.setattr("engine.running.stopping.time", a_second_a_unit)
    result = label_inline(recipe, out, budget_hours=20.5 / 3600)
    assert 0 < result.units <= 21
    assert (result.units_left, result.stopped) == (UNITS - result.units, "the budget is spent")
    assert verify(out, progress=False).problems[0].count("missing") == 1
    label_inline(recipe, out)
    assert checksums(out) == undisturbed
    assert verify(out, progress=False).problems == []


def test_the_log_has_a_line_for_each_unit_between_start_and_end(recipe: LabelRecipe, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    small = recipe.model_copy(update={"unit_size": 60})
    result = label_inline(small, tmp_path / "out", log=log)
    start, *units, end = [json.loads(line) for line in log.read_text().splitlines()]
    assert (start["event"], start["units"], start["units_done"]) == ("start", 3, 0)
    assert [(unit["event"], unit["unit"], unit["source_uri"], unit["rows"]) for unit in units] == [
        ("unit", number, "0.tar", rows) for number, rows in enumerate((60, 60, 30))
    ]
    assert units[0]["worker"].endswith(f":{os.getpid()}")
    assert list(units[0]["seconds"]) == [stage.stage for stage in result.stages]
    assert (end["event"], end["units"], end["samples"]) == ("end", 3, result.samples)
    label_inline(small, tmp_path / "out", log=log)
    again = [json.loads(line) for line in log.read_text().splitlines()][5:]
    assert [line["event"] for line in again] == ["start", "end"]
    assert (again[0]["units_done"], again[1]["new_units"]) == (3, 0)


def test_the_log_of_a_job_that_fails_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with pytest.raises(RuntimeError), JobLog(log, units=1):
        raise RuntimeError("a worker was lost")
    assert json.loads(log.read_text().splitlines()[-1])["error"] == "RuntimeError: a worker was lost"
