"""The benchmark of the input pipeline: a loader that does not keep up is seen."""

from __future__ import annotations

import re
import time
from pathlib import Path

import data_wait
import pytest

from student.collate import Batch
from student.data import TrainingData

LOADER_S, STEP_S = 0.24, 0.16  # long beside what a busy machine adds to either


def test_a_loader_that_takes_longer_than_a_step_is_waited_for_in_every_stretch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make = TrainingData.batch

    def slowly(data: TrainingData, step: int) -> Batch:
        time.sleep(LOADER_S)
        return make(data, step)

    monkeypatch.setattr(TrainingData, "batch", slowly)
    monkeypatch.setattr("data_wait.train_step", lambda *_: time.sleep(STEP_S))
    options = ["--out", str(tmp_path), "--stretches", "3", "--stretch", "4", "--batch-size", "1"]
    monkeypatch.setattr("sys.argv", ["data_wait.py", *options])
    assert data_wait.main() == 0
    ratios = [float(found) for found in re.findall(r"steps/s +(\d\.\d+) +\S+%$", capsys.readouterr().out, re.M)]
    assert len(ratios) == 3
    assert max(ratios) < 0.9  # 0.67 but for what making a picture takes
