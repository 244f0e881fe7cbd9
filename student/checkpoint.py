"""The state that a run resumes from: written whole or not at all, read without executing code.

One file, ``state.pt``, replaced at each checkpoint. All that is random in a run is a function of (seed, step), so no
generator state is stored, and a run may be resumed with another number of workers.
"""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from engine.artifacts import Store
from student.tuning import plain_weights

STATE = "state.pt"
WRITING = ".writing-state.pt"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a run and flush it to the disk; a crash or a full disk leaves the previous state."""
    folder.mkdir(parents=True, exist_ok=True)
    # Always the same temporary name, so that half-written files of killed runs do not pile up.
    temporary = folder / WRITING
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / STATE)
        Store(folder).flush("")
    finally:
        temporary.unlink(missing_ok=True)


def raw_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of the last step, not averaged. ValueError where the folder has no state, or a damaged one."""
    state = _read(folder / STATE) if (folder / STATE).exists() else None
    weights = state.get("model") if state is not None else None
    if not isinstance(weights, dict):
        raise ValueError(f"{folder / STATE} holds no weights of a run; train again to have its raw weights")
    return plain_weights(weights)


def load_state(folder: Path, identity: str) -> dict[str, Any] | None:
    """The state to resume from, or None where the folder holds none. Tensors are on the CPU.

    ValueError where the file is damaged, or belongs to a run of another identity (other recipe, data or model); if
    identities are JSON objects, the message names what differs.
    """
    path = folder / STATE
    if not path.exists():
        return None
    state = _read(path)
    if state is None or state.get("identity") != identity:
        other = _what_differs(None if state is None else state.get("identity"), identity)
        raise ValueError(f"{path} belongs to a run with another {other}; train into another folder, or delete it")
    return state


def _what_differs(begun: Any, identity: str) -> str:
    """The names of the entries in which two identities differ, as words of a message."""
    try:
        old, new = json.loads(begun), json.loads(identity)
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    except (TypeError, ValueError, AttributeError):
        return "recipe, mix or model"
    return " and another ".join(names)


def _read(path: Path) -> dict[str, Any] | None:
    """The state in the file, or None if it holds something else. ValueError where the file cannot be read."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read ({reason}); delete it to train from the start") from None
    return state if isinstance(state, dict) else None
