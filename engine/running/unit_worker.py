"""What runs inside a worker process: stages, and perhaps the commit, on units as they come.

In: a unit. Out: the unit after the stages, its manifest, or a failure. What a stage raises travels to the driver as a
record of its own: exceptions come out of Ray's layers without their cause, and of an actor that dies at birth Ray tells
none.
"""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.running.stages import Commit, Manifest, OpenedStages, Stage
from schemas.records import Unit

UnitWork = Callable[[Unit[Any]], Any]


class WorkerError(Exception):
    """The traceback of a worker process, for those who ask for one (``--debug``): it is no word to a user."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a worker met: the error in its own words, whether it is a ValueError, and the worker's traceback."""

    message: str
    is_value_error: bool
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """An error on its way; of other kinds than ours the message says which."""
        known = isinstance(error, (ValueError, RuntimeError))
        message = str(error) if known else f"{type(error).__name__}: {error}"
        return cls(message, isinstance(error, ValueError), "".join(traceback.format_exception(error)))

    def error(self) -> ValueError | RuntimeError:
        """To be raised by the driver; the worker's traceback is its cause."""
        error = (ValueError if self.is_value_error else RuntimeError)(self.message)
        error.__cause__ = WorkerError(f"in a worker process:\n{self.trace}")
        return error


class UnitWorker:
    """What a Ray actor is: ``open_work`` runs while the actor starts, before its first unit."""

    def __init__(self, open_work: Callable[[], UnitWork], folder: str) -> None:
        """``folder`` is the driver's: relative paths of a recipe mean there what they mean to the driver."""
        self._failure: Failure | None = None
        try:
            if os.path.isdir(folder):
                os.chdir(folder)
            self._work = open_work()
            gc.freeze()  # weights and vocabularies live as long as the process: no collection looks at them again
        except Exception as error:
            self._failure = Failure.of(error)

    def ready(self) -> None:
        """Returns as soon as the actor runs and what was given to it before is done."""

    def work(self, unit: Unit[Any] | Failure) -> Any:
        """What this worker makes of the unit. A failure of an earlier worker goes through."""
        if isinstance(unit, Failure):
            return unit
        if self._failure is not None:
            return self._failure
        try:
            return self._work(unit)
        except Exception as error:
            return Failure.of(error)


def open_stages(stages: Sequence[Stage], open_commit: Callable[[], Commit[Manifest]] | None) -> UnitWork:
    """Stages that give the unit after them; with a commit, that is opened too, and gives its manifest."""
    opened = OpenedStages(stages)
    if open_commit is None:
        return opened
    commit = open_commit()
    return lambda unit: commit(opened(unit))
