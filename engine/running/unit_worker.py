"""The code of a worker process: stages, and perhaps the commit, for one unit after another.

In: a unit. Out: the unit after the stages, its manifest, or a failure. An exception of a stage reaches the driver as a
record: through Ray, exceptions lose their cause, and one in an actor's constructor is lost altogether.
"""

from __future__ import annotations

import gc
import os
import socket
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.made_by import code_version
from engine.running.stages import Commit, Manifest, OpenedStages, Stage
from schemas.records import Unit

UnitWork = Callable[[Unit[Any]], Any]


class WorkerError(Exception):
    """The traceback of a worker process, shown only with ``--debug``: it is no message for a user."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error in a worker: its message, whether it is a ValueError, and the worker's traceback."""

    message: str
    is_value_error: bool
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """The record of an error; the message names its type unless that is one of ours."""
        known = isinstance(error, (ValueError, RuntimeError))
        message = str(error) if known else f"{type(error).__name__}: {error}"
        return cls(message, isinstance(error, ValueError), "".join(traceback.format_exception(error)))

    def error(self) -> ValueError | RuntimeError:
        """The error for the driver to raise; its cause has the worker's traceback."""
        error = (ValueError if self.is_value_error else RuntimeError)(self.message)
        error.__cause__ = WorkerError(f"in a worker process:\n{self.trace}")
        return error


class UnitWorker:
    """The class of the Ray actors. ``open_work`` runs while an actor starts, before its first unit."""

    def __init__(self, open_work: Callable[[], UnitWork], folder: str, version: str) -> None:
        """``folder``: the driver's working directory, which relative paths of a recipe start from. ``version``: the
        driver's, which this machine must have, too: another one might label differently."""
        self._failure: Failure | None = None
        try:
            if version != code_version():
                raise ValueError(
                    f"glip-engine is {code_version()} here, and {version} where the job was started; install the same "
                    "version on every machine of the cluster, and start Ray there again"
                )
            if os.path.isdir(folder):
                os.chdir(folder)
            self._work = open_work()
            gc.freeze()  # weights and vocabularies live as long as the process: garbage collection need not visit them
        except Exception as error:  # what is missing may lie on the driver's machine, and on this one not
            failure = Failure.of(error)
            self._failure = replace(failure, message=f"{failure.message} (on {socket.gethostname()})")

    def ready(self) -> None:
        """Return when the actor runs and has done the units that it was given before."""

    def work(self, unit: Unit[Any] | Failure) -> Any:
        """The result of this worker for the unit. A failure of an earlier worker is passed on."""
        if isinstance(unit, Failure):
            return unit
        if self._failure is not None:
            return self._failure
        try:
            return self._work(unit)
        except Exception as error:
            return Failure.of(error)


def open_stages(stages: Sequence[Stage], open_commit: Callable[[], Commit[Manifest]] | None) -> UnitWork:
    """Open stages: a function that gives the unit after them or, with a commit, its manifest."""
    opened = OpenedStages(stages)
    if open_commit is None:
        return opened
    commit = open_commit()
    return lambda unit: commit(opened(unit))
