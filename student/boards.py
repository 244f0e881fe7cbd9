"""Where the figures of a run are shown beside its own log: TensorBoard, and MLflow where a server is named.

In: names and numbers at a step. Out: event files, and metrics of an MLflow run. A run depends on neither.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

MLFLOW_URI = "MLFLOW_TRACKING_URI"
EXPERIMENT = "glip-engine"
MLFLOW_RUN = "mlflow_run.txt"
MAX_VALUE_CHARS = 500  # of an MLflow parameter; older servers take no more


class Board(Protocol):
    """Takes the figures of a run."""

    def show(self, figures: Mapping[str, float], step: int) -> None:
        """Show the figures of a step."""

    def close(self) -> None:
        """Nothing more will come."""


def open_boards(out: Path, first_step: int, parameters: Mapping[str, object]) -> list[Board]:
    """The boards of the run in ``out``, which begins or goes on after ``first_step``.

    TensorBoard where it is installed; MLflow where ``MLFLOW_TRACKING_URI`` is set, with ``parameters`` of the run.
    ValueError where that is set and MLflow is not installed: figures that were asked for would be lost.
    """
    boards: list[Board] = []
    if importlib.util.find_spec("tensorboard") is not None:
        boards.append(_TensorBoard(out / "tensorboard", first_step))
    if os.environ.get(MLFLOW_URI):
        if importlib.util.find_spec("mlflow") is None:
            raise ValueError(f"{MLFLOW_URI} is set, but MLflow is not installed: pip install 'glip-engine[mlflow]'")
        boards.append(_MlflowBoard(out, parameters))
    return boards


class _TensorBoard:
    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def show(self, figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _MlflowBoard:
    """One MLflow run for one folder: its id is kept there, so that a run that goes on goes on there too."""

    def __init__(self, out: Path, parameters: Mapping[str, object]) -> None:
        from mlflow import MlflowClient

        self._client, kept = MlflowClient(), out / MLFLOW_RUN
        if kept.exists():
            self._run = kept.read_text().strip()
            return
        known = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known is not None else self._client.create_experiment(EXPERIMENT)
        self._run = self._client.create_run(experiment, run_name=out.name).info.run_id
        for name, value in parameters.items():
            self._client.log_param(self._run, name, str(value)[:MAX_VALUE_CHARS])
        kept.write_text(self._run + "\n")

    def show(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, value in figures.items()])

    def close(self) -> None:
        self._client.set_terminated(self._run)
