"""What all users of MLflow share: the check that it is installed, our experiment, short timeouts, errors in one line.

In: MLflow's own environment variables. Out: checks, ids, and messages without the secrets of an address. No job depends
on MLflow: callers go on without it.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MLFLOW_URI = "MLFLOW_TRACKING_URI"
MLFLOW_REGISTRY_URI = "MLFLOW_REGISTRY_URI"
EXPERIMENT = "glip-engine"
HURRY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
MAX_FAULT_CHARS = 500


def check_installed(asked: str = f"{MLFLOW_URI} is set") -> None:
    """Raise ValueError where MLflow is not installed; ``asked`` is the reason why it is needed, for the message."""
    if importlib.util.find_spec("mlflow") is None:
        raise ValueError(f"{asked}, but MLflow is not installed: pip install 'glip-engine[mlflow]'")


def experiment_of_ours(client: Any) -> str:
    """The id of the experiment that holds our runs, created if it does not exist."""
    known = client.get_experiment_by_name(EXPERIMENT)
    return str(known.experiment_id if known is not None else client.create_experiment(EXPERIMENT))


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """A context in which a server that is down is given up after seconds; by default MLflow retries for four minutes.
    Variables that the user has set stay as they are."""
    ours = {name: value for name, value in HURRY.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def fault_in_words(error: Exception) -> str:
    """An error in one line, without the user and password of an address."""
    said = " ".join(str(error).split())
    said = re.sub(r"(?<=//)[^/\s]+@", "", said)
    words = said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"
    return words if len(words) <= MAX_FAULT_CHARS else words[:MAX_FAULT_CHARS] + "…"
