"""The parts of a job: stages that work on units, and a commit. Independent of Ray and of what the stages do.

In: a unit reference. Out: the unit after the stages, each opened once in its process, with a tally of each.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from schemas.records import Unit, UnitRef
from schemas.shards import ShardManifest

Manifest = TypeVar("Manifest", bound=ShardManifest)
Work = Callable[[Unit[Any]], Sequence[Any]]
Commit = Callable[[Unit[Any]], Manifest]


@dataclass(frozen=True)
class Stage:
    """A step of the flow: ``open`` runs once in each worker process and gives the function that does the work.

    The function takes a unit and gives one record, or one Reject, for each of the unit's records. ``place`` tells which
    processes run it where there are GPUs: ``reader`` (on a CPU) or ``teacher`` (one for each GPU).
    """

    name: str
    open: Callable[[], Work]
    place: Literal["reader", "teacher"] = "reader"


class OpenedStages:
    """Consecutive stages, opened, in one process."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        with _no_garbage_collection():
            self._works = [(stage.name, stage.open()) for stage in stages]

    def __call__(self, unit: Unit[Any]) -> Unit[Any]:
        for name, work in self._works:
            started, (computed, elapsed) = time.perf_counter(), _effort(work)
            outcomes = work(unit)
            seconds, (computed_now, elapsed_now) = time.perf_counter() - started, _effort(work)
            unit = unit.advance(
                name,
                outcomes,
                seconds,
                computing_seconds=computed_now - computed,
                elapsed_seconds=elapsed_now - elapsed,
            )
        return unit


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Inside the block nothing is searched for garbage. What stages import and load when they are opened is to stay;
    visiting it again and again would take a good part of that time."""
    thresholds = gc.get_threshold()
    gc.set_threshold(0)  # and not gc.disable(): libraries that do so themselves enable it afterwards
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def _effort(work: Work) -> tuple[float, float]:
    """The seconds so far, of computing and in all, of a work that measures itself by attributes; else zeros."""
    return getattr(work, "computing_seconds", 0.0), getattr(work, "elapsed_seconds", 0.0)


def first_unit(ref: UnitRef) -> Unit[int]:
    """The input of the first stage: the row numbers of the slice."""
    return Unit(ref, tuple(range(ref.first_row, ref.first_row + ref.rows)))
