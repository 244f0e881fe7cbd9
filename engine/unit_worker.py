"""What runs inside a worker process: stages, and perhaps the commit, on units that come and go as Arrow rows.

In: a table of one row, a unit. Out: a table of one row: the unit after the stages, its manifest, or a failure. What a
stage raises travels to the driver as a row of its own: exceptions come out of Ray's layers without their cause, and of
an actor that dies at birth Ray tells none.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence

import pyarrow as pa

from engine.stages import Commit, Manifest, OpenedStages, Stage
from engine.unit_row import unit_from_arrow, unit_to_arrow

TableWork = Callable[[pa.Table], pa.Table]
FAILURE = "failure"  # the column by which a row tells that a stage raised
MANIFEST = "manifest"  # the column of a committed unit: its manifest as JSON text


class UnitWorker:
    """What a Ray actor is: ``open_work`` runs while the actor starts, before its first unit."""

    def __init__(self, open_work: Callable[[], TableWork], folder: str) -> None:
        """``folder`` is the driver's: relative paths of a recipe mean there what they mean to the driver."""
        self._failure: pa.Table | None = None
        try:
            if os.path.isdir(folder):
                os.chdir(folder)
            self._work = open_work()
        except Exception as error:
            self._failure = _failure_row(error)

    def ready(self) -> None:
        """Returns as soon as the actor runs and what was given to it before is done."""

    def work(self, table: pa.Table) -> pa.Table:
        """The unit after this worker's stages. A failure of an earlier worker goes through."""
        if FAILURE in table.column_names:
            return table
        if self._failure is not None:
            return self._failure
        try:
            return self._work(table)
        except Exception as error:
            return _failure_row(error)


def open_stages(stages: Sequence[Stage], takes: type) -> TableWork:
    """Stages that take units with records of type ``takes`` and give units."""
    opened, gives = OpenedStages(stages), stages[-1].gives
    return lambda table: unit_to_arrow(opened(unit_from_arrow(table, takes)), gives)


def open_stages_and_commit(
    stages: Sequence[Stage], open_commit: Callable[[], Commit[Manifest]], takes: type
) -> TableWork:
    """Stages that take units with records of type ``takes``, and the commit after them, which gives the manifest."""
    opened, commit = OpenedStages(stages), open_commit()
    return lambda table: pa.table({MANIFEST: [commit(opened(unit_from_arrow(table, takes))).model_dump_json()]})


def raise_failure(table: pa.Table) -> None:
    """What a worker met, raised here in its own words; the traceback of the worker is a note of it."""
    row = table.to_pylist()[0]
    error = (ValueError if row[FAILURE] == "ValueError" else RuntimeError)(row["message"])
    error.add_note(f"In a worker process:\n{row['trace']}")
    raise error


def _failure_row(error: Exception) -> pa.Table:
    kind = "ValueError" if isinstance(error, ValueError) else "RuntimeError"
    known = isinstance(error, (ValueError, RuntimeError))
    message = str(error) if known else f"{type(error).__name__}: {error}"
    return pa.table({FAILURE: [kind], "message": [message], "trace": ["".join(traceback.format_exception(error))]})
