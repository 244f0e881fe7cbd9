"""The benchmark of a training step: its sides take the same steps, and memory is what a step adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import training_step
from torch import Tensor

from student.collate import Batch
from student.session import Session
from student.step import train_step

SMALLEST = [
    *("--short", "64", "--long", "96", "--batch-size", "1", "--threads", "1", "--loader-threads", "1"),
    *("--repeats", "1", "--warmup", "0", "--sides", "fp32", "fp32 checkpointed", "fp32 fsdp"),
]


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")
def test_all_sides_take_the_same_steps_and_a_step_brings_its_own_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []
    pictures: list[float] = []

    def told(session: Session, batch: Batch, *given: Any) -> dict[str, Tensor]:
        held.append(any(parameter.grad is not None for parameter in session.raw.parameters()))
        pictures.append(sum(float(image.double().sum()) for image in batch.images))
        return train_step(session, batch, *given)

    monkeypatch.setattr("training_step.train_step", told)
    monkeypatch.setattr("training_step.SCENES", 4)
    file = tmp_path / "training.json"
    monkeypatch.setattr("sys.argv", ["training_step.py", *SMALLEST, "--json", str(file)])
    assert training_step.main() == 0
    (run,) = json.loads(file.read_text())["runs"]
    assert run["failed"] == {}
    # The first has a step before it, and the last is the one whose memory is measured.
    assert held == 3 * [False, True, False]
    assert len(set(pictures)) == 1  # of the step that is timed, of the undisturbed one, and of that
    losses = [side["loss"] for side in run["sides"].values()]
    norms = [side["gradient_norm"] for side in run["sides"].values()]
    assert losses == pytest.approx(3 * losses[:1], rel=1e-4)
    assert norms == pytest.approx(3 * norms[:1], rel=1e-3)
