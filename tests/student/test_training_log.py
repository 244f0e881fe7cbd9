"""The lines of a run: means over the steps that count, and what a crash left is cut off."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from student.training_log import LOSSES, TrainingLog
from student.workers import Workers


def _log(out: Path, first_step: int = 0) -> TrainingLog:
    return TrainingLog(out, first_step, 2, Workers(torch.device("cpu")), {})


def _lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / LOSSES).read_text().splitlines()]


def test_a_step_that_was_skipped_is_in_no_mean(tmp_path: Path) -> None:
    with _log(tmp_path) as log:
        for step, values in enumerate([{"loss": 3.0}, {}, {"loss": 1.0}, {"loss": 2.0}, {}, {}]):
            tensors = {name: torch.tensor(value) for name, value in values.items()}
            log.step(step, tensors, images=4, waited=0.0, state={"lr": 0.5})
    lines = _lines(tmp_path)
    assert [line.get("loss") for line in lines] == [3.0, 1.5, None]
    assert [line["lr"] for line in lines] == [0.5] * 3
    assert log.images == 24


def test_a_stretch_ends_with_a_line_that_a_run_that_goes_on_takes_up(tmp_path: Path) -> None:
    with _log(tmp_path) as log:
        for step, ends in enumerate([False, False, True]):
            values = {"loss": torch.tensor(float(step))}
            log.step(step, values, images=1, waited=0.0, state={}, ends=ends)
    assert [(line["step"], line["loss"]) for line in _lines(tmp_path)] == [(2, 0.5), (3, 2.0)]
    with _log(tmp_path, first_step=3) as resumed:
        assert resumed.latest == log.latest


def test_a_rate_is_of_steps_and_not_of_the_checkpoints_and_evaluations_between(tmp_path: Path) -> None:
    values = {"loss": torch.tensor(1.0)}
    opened = time.perf_counter()
    with _log(tmp_path) as log:
        log.step(0, values, images=4, waited=0.0, state={}, ends=True)
        began = time.perf_counter()
        with log.paused():
            time.sleep(0.5)
        log.step(1, values, images=4, waited=0.0, state={})
        took = time.perf_counter() - began
    assert log.latest["images_per_second"] > 4 / (took - 0.45)
    assert log.seconds < time.perf_counter() - opened - 0.45


def test_the_share_of_waiting_is_of_the_time_that_the_rate_is_of(tmp_path: Path) -> None:
    with _log(tmp_path) as log:
        for step, waited in enumerate((1.0, 2.0, 5.0, 1.0)):
            log.step(step, {"loss": torch.tensor(1.0)}, images=4, waited=waited, state={})
    for line, waits in zip(_lines(tmp_path), (3.0, 6.0), strict=True):
        assert line["data_wait_share"] / line["images_per_second"] == pytest.approx(waits / 8)


@pytest.mark.parametrize("tail", ["", '{"step": 5, "loss"', '{"step": 6}', '{"step": 5}\n{"st', "\\0\\0"])
def test_a_resumed_run_goes_on_after_the_lines_of_its_checkpoint(tmp_path: Path, tail: str) -> None:
    whole = "".join(f'{{"step": {step}}}\n' for step in (2, 4))
    (tmp_path / LOSSES).write_text(whole + tail)
    with _log(tmp_path, first_step=4) as log:
        log.step(5, {"loss": torch.tensor(1.0)}, images=1, waited=0.0, state={})
    assert [line["step"] for line in _lines(tmp_path)] == [2, 4, 6]
    assert (tmp_path / LOSSES).read_text().startswith(whole)


def test_lines_after_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    (tmp_path / LOSSES).write_text("".join(f'{{"step": {step}}}\n' for step in (2, 4, 6)))
    with _log(tmp_path, first_step=2):
        pass
    assert [line["step"] for line in _lines(tmp_path)] == [2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_full_is_told_with_the_file_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / LOSSES).symlink_to("/dev/full")
    with _log(tmp_path) as log:
        log.step(0, {"loss": torch.tensor(1.0)}, images=1, waited=0.0, state={})
        with pytest.raises(OSError, match=r"losses\.jsonl \(No space left on device\); make room"):
            log.step(1, {"loss": torch.tensor(1.0)}, images=1, waited=0.0, state={})
