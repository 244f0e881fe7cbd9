"""The log of a training run: a JSON line every few steps and at each checkpoint, and the same on its boards.

A run that was killed and resumed has the same lines as one that was not: lines after the checkpoint are dropped when it
resumes, and no mean spans a checkpoint.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor

from student.boards import open_boards
from student.workers import Workers

LOSSES = "losses.jsonl"


class TrainingLog:
    """Averages the values of steps and writes a line every ``every`` steps; only the first worker writes. ``latest``
    has the figures of the last line; ``images`` and ``seconds`` are totals since ``first_step``."""

    def __init__(
        self, out: Path, first_step: int, every: int, workers: Workers, parameters: Mapping[str, object]
    ) -> None:
        self.every, self.workers = every, workers
        self.images = 0
        self.seconds = 0.0
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._started = time.perf_counter()
        self._since, self._images_before, self._waited = self._started, 0, 0.0  # for the next line
        self.latest: dict[str, float] = {}
        self._file: FileIO | None = None
        if workers.rank == 0:
            self.latest, self._file = _open_lines(out / LOSSES, first_step)
        self._boards = open_boards(out, first_step, parameters) if workers.rank == 0 else []

    def step(
        self,
        step: int,
        values: dict[str, Tensor],
        *,
        images: int,
        waited: float,
        state: dict[str, float],
        ends: bool = False,
    ) -> dict[str, float]:
        """Add one step; returns the latest figures.

        values: 0-dimensional tensors to be averaged; empty, in all workers alike, for a step to leave out of the means.
        images: over all workers. waited: seconds of waiting for data. state: figures that are logged as they are.
        ends: whether to write a line whatever the step's number. OSError where the line cannot be written.
        """
        for name, value in values.items():
            seen = value.detach().float()
            self._sums[name] = self._sums[name] + seen if name in self._sums else seen
        self._steps += bool(values)
        self.images += images
        self._waited += waited
        if ends or (step + 1) % self.every == 0:
            self._write(step + 1, state)
        return self.latest

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context for a checkpoint and its evaluation, whose time counts in no rate. The lines so far are flushed to
        the disk first, so that no crash of the machine leaves a checkpoint without them."""
        began = time.perf_counter()
        if self._file is not None:
            os.fsync(self._file.fileno())
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self._started += took
            self._since += took

    def _write(self, steps: int, state: dict[str, float]) -> None:
        means: list[float] = []
        if self._sums:
            means = self.workers.mean(torch.stack(list(self._sums.values())) / self._steps).tolist()
        now = time.perf_counter()
        took = now - self._since
        rates = {
            "images_per_second": (self.images - self._images_before) / took,
            "data_wait_share": self._waited / took,
        }
        self.latest = dict(zip(self._sums, means, strict=True)) | state | rates
        self._sums, self._steps = {}, 0
        self._since, self._images_before, self._waited = now, self.images, 0.0
        if self._file is not None:
            _write_line(self._file, (json.dumps({"step": steps} | self.latest) + "\n").encode())
        for board in self._boards:
            board.show(self.latest, steps)

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started
        if self._file is not None:
            self._file.close()
        for board in self._boards:
            board.close(whole=error is None)


def _open_lines(path: Path, first_step: int) -> tuple[dict[str, float], FileIO]:
    """The figures of the last line up to ``first_step``, and the file, opened to append. Later lines are cut off in
    place, which works on a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    latest: dict[str, float] = {}
    if path.is_file():
        with path.open("r+b") as lines:
            kept = 0
            for line in lines:
                found = figures_of(line)
                if found is None or found.pop("step") > first_step:
                    break
                latest, kept = found, kept + len(line)
            lines.truncate(kept)
    return latest, path.open("ab", buffering=0)


def _write_line(file: FileIO, line: bytes) -> None:
    """Write a line without a buffer: one that cannot be emptied would raise again when it is closed."""
    written, reason = 0, "no space left on device"
    try:
        written = file.write(line)
    except OSError as error:
        reason = error.strerror or reason
    if written != len(line):
        raise OSError(
            f"a line could not be written into {file.name} ({reason}); make room on the disk and run the same command "
            "again: it resumes from its last checkpoint"
        )


def figures_of(line: bytes) -> dict[str, float] | None:
    """The figures in a line of the log, including ``step``; None for a line that a crash cut off."""
    try:
        found = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("step"), int | float) else None
