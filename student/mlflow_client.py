"""How MLflow is spoken to: where it is, that it is installed, how long it is waited for, how its faults are told.

In: MLflow's own environment variables. Out: its client, and faults in one line without the secrets of an address.
Nothing of ours depends on MLflow: whoever speaks to it goes on without.
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
    """ValueError where MLflow is not installed; ``asked`` says why it is wanted."""
    if importlib.util.find_spec("mlflow") is None:
        raise ValueError(f"{asked}, but MLflow is not installed: pip install 'glip-engine[mlflow]'")


def experiment_of_ours(client: Any) -> str:
    """The id of the experiment that holds our runs, which is made where there is none."""
    known = client.get_experiment_by_name(EXPERIMENT)
    return str(known.experiment_id if known is not None else client.create_experiment(EXPERIMENT))


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """Inside, a server that is down is given up after seconds: MLflow itself goes on asking for four minutes. What the
    user has set stays."""
    ours = {name: value for name, value in HURRY.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def fault_in_words(error: Exception) -> str:
    """An error in one line; user and password of an address are left out."""
    said = " ".join(str(error).split())
    said = re.sub(r"(?<=//)[^/\s]+@", "", said)
    words = said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"
    return words if len(words) <= MAX_FAULT_CHARS else words[:MAX_FAULT_CHARS] + "…"
