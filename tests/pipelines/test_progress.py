"""What a person sees of a running job, and at its end."""

from __future__ import annotations

import builtins
from types import SimpleNamespace

import pytest
from rich.console import Console

from pipelines.console.progress import UnitProgress, tracked
from pipelines.export import ExportReceipt, summary
from pipelines.label import print_result
from pipelines.labelling.bookkeeping import LabelResult
from pipelines.labelling.run_time import RunTime
from pipelines.labelling.totals import Totals


def test_the_numbers_of_the_bar_are_whole_on_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = Totals()
    done.rows, done.rejects = 1200, 31
    with UnitProgress("labelling", 24000, done, shown=True):
        pass
    assert "1200/24000 - images/s, 31 rejected" in capsys.readouterr().err


def test_a_log_gets_a_line_a_minute_while_units_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new, clock = Totals(), SimpleNamespace(now=0.0)
    for module in ("console.progress", "labelling.run_time"):
        monkeypatch.setattr(f"pipelines.{module}.time", SimpleNamespace(monotonic=lambda: clock.now))
    times = RunTime(called=0.0)
    with UnitProgress("labelling", 24000, Totals(), shown=True) as bar:
        for clock.now in (1, 61, 62):
            times.unit_done(1.0)
            new.rows += 100
            bar.show(new, times)
        (told,) = capsys.readouterr().err.splitlines()
    assert " 200/24000 3.3 images/s" in told, "of the 61 s since the first unit was begun"


@pytest.mark.parametrize("notebook", [False, True])
def test_the_last_unit_is_told_once_in_a_log_or_a_notebook(
    notebook: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if notebook:  # rich knows one by IPython's shell, which asks for colours
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setattr(builtins, "get_ipython", type("ZMQInteractiveShell", (), {}), raising=False)
    assert Console().is_jupyter == notebook
    monkeypatch.setattr("pipelines.console.progress.LOG_EVERY_S", 0)
    new = Totals()
    with UnitProgress("labelling", 200, Totals(), shown=True) as bar:
        for new.rows in (100, 200):
            bar.show(new, RunTime())
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == ["100/200", "200/200"]


def test_a_job_that_is_to_be_silent_leaves_no_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.console.progress.LOG_EVERY_S", 0)
    with UnitProgress("labelling", 24000, Totals(), shown=False) as bar:
        bar.show(Totals(), RunTime())
    assert capsys.readouterr().err == ""


def test_a_bar_that_nobody_sees_leaves_nothing_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked(["unit"], "verifying", shown=True)) == ["unit"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("new_units", "left", "rate", "told"),
    [
        (1, 0, 0.0, "0.0 images/s after a start of 0.0 s"),
        (0, 0, None, "all was done before"),
        (0, 1, None, "no unit was done"),
    ],
)
def test_a_job_that_did_nothing_tells_why(
    new_units: int, left: int, rate: float | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"units": 1, "images": 2, "samples": 2, "phrases": 2, "boxes": 2, "rejects": {}, "stages": []}
    speed = {"seconds": 500.0, "start_seconds": rate, "images_per_second": rate, "utilisation": None}
    how = {"new_units": new_units, "units_left": left, "stopped": "SIGTERM" if left else None}
    print_result(LabelResult.model_validate({"dataset": "out", **counts, **speed, **how}))
    assert capsys.readouterr().out.splitlines()[0].endswith(f"0 rejects; 500.0 s, {told}")


def test_an_export_tells_what_it_left_out() -> None:
    fields = {"format": "coco", "dataset_digest": "0", "selection": None, "images": False, "samples": 9, "boxes": 12}
    left_out = {"box_without_area": 0, "sample_without_box": 11}
    told = summary(ExportReceipt.model_validate({**fields, "left_out": left_out}))
    assert told == "9 samples, 12 boxes in the format coco; left out: sample without box (11)"
    assert "left out" not in summary(ExportReceipt.model_validate({**fields, "left_out": {}}))
    assert "--selection" not in told


def test_an_export_that_holds_nothing_since_no_box_was_selected_says_so() -> None:
    fields = {"format": "coco", "dataset_digest": "0", "selection": {}, "images": False, "samples": 0, "boxes": 0}
    told = summary(ExportReceipt.model_validate({**fields, "left_out": {"sample_without_box": 11}}))
    assert told.endswith("sample without box (11); no box passes the selection: give another with --selection")
    assert "--selection" not in summary(ExportReceipt.model_validate({**fields, "left_out": {"duplicate": 11}}))
