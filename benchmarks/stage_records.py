"""Records the cost of a job's stages: each stage, and the commit, writes its processor time for each unit.

In: stages and a commit, opened in this process or in others. Out: a file for each process, with a line for each unit
and stage, and their sums. The first unit of each process only warms it up.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import instant_teacher  # noqa: F401 - so that all processes with a recorded stage have this teacher

from engine.running.layout import WRITE
from engine.running.stages import Stage


@dataclass(frozen=True)
class Recorded:
    """Wraps ``open``, so that the work on units that it opens is recorded in ``folder`` under ``name``."""

    open: Callable[[], Callable[[Any], Any]]
    name: str
    folder: Path

    def __call__(self) -> Callable[[Any], Any]:
        work = self.open()

        def recorded(unit: Any) -> Any:
            began = time.process_time()
            result = work(unit)
            with (self.folder / str(os.getpid())).open("a") as file:
                file.write(f"{self.name} {began} {time.process_time()}\n")
            return result

        return recorded


def recorded_stages(stages: list[Stage], folder: Path) -> list[Stage]:
    return [replace(stage, open=Recorded(stage.open, stage.name, folder)) for stage in stages]


def recorded_commit(open_commit: Callable[[], Any], folder: Path) -> Callable[[], Any]:
    return Recorded(open_commit, WRITE, folder)


@dataclass(frozen=True)
class ProcessRecord:
    """The processor seconds of one process for all its units but the first: in each stage, and ``between`` stages."""

    stages: dict[str, float]
    between: float

    @property
    def whole(self) -> float:
        return sum(self.stages.values()) + self.between


def read_records(folder: Path) -> list[ProcessRecord]:
    """The records of all processes that have some."""
    return [_read(file) for file in sorted(folder.iterdir())]


def _read(file: Path) -> ProcessRecord:
    lines = [line.split() for line in file.read_text().splitlines()]
    names = list(dict.fromkeys(name for name, _, _ in lines))
    first_unit, later = lines[: len(names)], lines[len(names) :]
    seconds: Counter[str] = Counter()
    for name, began, ended in later:
        seconds[name] += float(ended) - float(began)  # type: ignore[assignment]
    elapsed = float(later[-1][2]) - float(first_unit[-1][2])
    return ProcessRecord(dict(seconds), elapsed - sum(seconds.values()))
