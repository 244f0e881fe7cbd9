"""Boards that show the figures of a run beside its own log: TensorBoard, and MLflow where a server is named.

In: names and numbers at a step. Out: event files, and metrics of an MLflow run. A run depends on neither: a board that
fails is logged once, and not used again until the run is resumed.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from engine.artifacts import Store
from student.mlflow_client import MLFLOW_URI, check_installed, experiment_of_ours, fault_in_words, in_a_hurry

MLFLOW_RUN = "mlflow_run.txt"
MAX_VALUE_CHARS = 500  # of an MLflow parameter; older servers take no more

log = logging.getLogger(__name__)
_Context = AbstractContextManager[object]


class Board(Protocol):
    """A display for the figures of a run."""

    def show(self, figures: Mapping[str, float], step: int) -> None:
        """Show the figures of a step."""

    def close(self, *, whole: bool) -> None:
        """Close the board. ``whole``: the run has finished its steps, and was not stopped before."""


def check_boards() -> None:
    """Raise ValueError where ``MLFLOW_TRACKING_URI`` is set and MLflow is not installed: the figures that the user
    wants there would be lost."""
    if os.environ.get(MLFLOW_URI):
        check_installed()


def open_boards(out: Path, first_step: int, parameters: Mapping[str, object]) -> list[Board]:
    """The boards of the run in the folder ``out``, of which ``first_step`` steps are done.

    TensorBoard where it is installed; MLflow where ``MLFLOW_TRACKING_URI`` is set, with the run's ``parameters``.
    ValueError as :func:`check_boards`.
    """
    check_boards()
    boards: list[Board] = []
    if importlib.util.find_spec("tensorboard") is not None:
        boards.append(_FaultTolerantBoard("TensorBoard", lambda: _TensorBoard(out / "tensorboard", first_step)))
    if os.environ.get(MLFLOW_URI):
        boards.append(_FaultTolerantBoard("MLflow", lambda: _MlflowBoard(out, parameters), in_a_hurry))
    return boards


class _FaultTolerantBoard:
    """A board whose faults do not end a run: the first one is logged, and the board is not used afterwards.

    Every call runs inside the context ``around()``.
    """

    def __init__(self, name: str, opened: Callable[[], Board], around: Callable[[], _Context] = nullcontext) -> None:
        self._name, self._around = name, around
        self._board: Board | None = None
        with self._first_fault_logged():
            self._board = opened()

    def show(self, figures: Mapping[str, float], step: int) -> None:
        if self._board is not None:
            with self._first_fault_logged():
                self._board.show(figures, step)

    def close(self, *, whole: bool) -> None:
        if self._board is not None:
            with self._first_fault_logged():
                self._board.close(whole=whole)

    @contextmanager
    def _first_fault_logged(self) -> Iterator[None]:
        try:
            with self._around():
                yield
        except Exception as error:  # MLflow raises many kinds, and none of them may end a training run
            self._board = None
            log.warning("%s hears no more of this run, whose log has all: %s", self._name, fault_in_words(error))


class _TensorBoard:
    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def show(self, figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self, *, whole: bool) -> None:
        self._writer.close()


class _MlflowBoard:
    """One MLflow run for one folder. Its id is kept in the folder, so that a resumed run continues the MLflow run."""

    def __init__(self, out: Path, parameters: Mapping[str, object]) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()  # checks that the address is one
        kept = out / MLFLOW_RUN
        if kept.exists():
            self._run = kept.read_text().strip()
            self._client.update_run(self._run, "RUNNING")
            return
        self._run = self._client.create_run(experiment_of_ours(self._client), run_name=out.name).info.run_id
        for name, value in parameters.items():
            self._client.log_param(self._run, name, str(value)[:MAX_VALUE_CHARS])
        Store(out).write(MLFLOW_RUN, f"{self._run}\n".encode())  # written whole: half an id names no run

    def show(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in figures.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self, *, whole: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if whole else "KILLED")
