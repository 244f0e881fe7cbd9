"""What a run writes down about itself: a JSON line every few steps, and the same on its boards.

Lines of a run that was killed and resumed are those of a run that was not: what was logged after the checkpoint is
dropped when it resumes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from student.boards import open_boards
from student.workers import Workers

LOSSES = "losses.jsonl"


class TrainingLog:
    """Averages what the steps report and writes it every ``every`` steps; the first worker alone writes."""

    def __init__(
        self, out: Path, first_step: int, every: int, workers: Workers, parameters: Mapping[str, object]
    ) -> None:
        self.every, self.workers = every, workers
        self.latest: dict[str, float] = {}
        self.images = 0
        self.seconds = 0.0
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._started = time.perf_counter()
        self._window = (self._started, 0, 0.0)
        self._file = _open_lines(out / LOSSES, first_step) if workers.rank == 0 else None
        self._boards = open_boards(out, first_step, parameters) if workers.rank == 0 else []

    def step(
        self, step: int, values: dict[str, Tensor], *, images: int, waited: float, state: dict[str, float]
    ) -> dict[str, float]:
        """Take in the values of one step (0-dimensional tensors, ``images`` over all workers) and what is logged as it
        stands (``state``); the latest figures."""
        for name, value in values.items():
            seen = value.detach().float()
            self._sums[name] = self._sums[name] + seen if name in self._sums else seen
        self._steps += 1
        self.images += images
        since, before, waits = self._window
        self._window = (since, before, waits + waited)
        if (step + 1) % self.every == 0:
            self._write(step + 1, state)
        return self.latest

    def _write(self, steps: int, state: dict[str, float]) -> None:
        means = self.workers.mean(torch.stack(list(self._sums.values())) / self._steps)
        now = time.perf_counter()
        since, before, waits = self._window
        self.latest = (
            dict(zip(self._sums, means.tolist(), strict=True))
            | state
            | {
                "images_per_second": (self.images - before) / (now - since),
                "data_wait_share": waits / (now - since),
            }
        )
        self._sums, self._steps, self._window = {}, 0, (now, self.images, 0.0)
        if self._file is not None:
            self._file.write(json.dumps({"step": steps} | self.latest) + "\n")
            self._file.flush()
        for board in self._boards:
            board.show(self.latest, steps)

    def close(self) -> None:
        self.seconds = time.perf_counter() - self._started
        if self._file is not None:
            self._file.close()
        for board in self._boards:
            board.close()

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_lines(path: Path, first_step: int) -> Any:
    """The file of lines, opened to append, without the lines after ``first_step``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = []
    if path.exists():
        kept = [line for line in path.read_text().splitlines() if _step_of(line) <= first_step]
    file = path.open("w")
    file.writelines(line + "\n" for line in kept)
    return file


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line that a crash cut off
