"""A registry's mirror: its versions and its pointer, shown in MLflow's model registry.

In: a registry whose ``mirror.json`` names a registered model. Out: that model, brought up to date after every move of
the pointer, and by ``glip-engine mirror``. The registry alone is the truth and never reads its mirror: where MLflow
does not answer, the move stands, the failure is told, and the next move or the command makes up for it.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from engine.registry import Registry
from pipelines.models.mlflow_versions import catch_up
from schemas.registry import MirrorSetting
from schemas.registry_results import Mirroring
from student.mlflow_client import MLFLOW_REGISTRY_URI, MLFLOW_URI, check_installed, fault_in_words

MIRROR = "mirror.json"


def mirror(registry: str | Path, *, model: str | None = None, progress: bool = True) -> Mirroring:
    """Bring the registry's mirror up to date. ``model`` names the registered model of MLflow that becomes its mirror,
    if that succeeds; None: the one it has.

    ValueError where there is neither, or where the registry is empty or damaged.
    """
    opened = Registry(registry)
    if opened.state().current() is None:
        raise ValueError(f"{opened.uri} has no version to show; `glip-engine promote` makes one")
    setting = MirrorSetting(mlflow_model=model) if model is not None else _setting(opened)
    if setting is None:
        raise ValueError(f"{opened.uri} has no mirror; --model NAME names the model that MLflow is to show it as")
    result = _caught_up(opened, setting.mlflow_model)
    if progress and model is not None and result.problem is not None:
        print(f"MLflow's model {model!r} is not made the mirror of {opened.uri}: {result.problem}", flush=True)
    elif progress:
        print(_mirror_line(opened, result), flush=True)
    if model is not None and result.problem is None:
        opened.store.write_document(MIRROR, setting)
    return result


def follow(registry: Registry, progress: bool) -> Mirroring | None:
    """Update the mirror, if there is one, after a move of the pointer. Never raises: what fails is in the result."""
    try:
        setting = _setting(registry)
    except (ValueError, OSError, RuntimeError) as error:
        result = Mirroring(model=None, problem=fault_in_words(error))
    else:
        if setting is None:
            return None
        result = _caught_up(registry, setting.mlflow_model)
    if progress:
        print(_mirror_line(registry, result), flush=True)
    return result


def _setting(registry: Registry) -> MirrorSetting | None:
    try:
        return MirrorSetting.model_validate_json(registry.store.read(MIRROR, 10_000))
    except FileNotFoundError:
        return None
    except ValidationError:
        raise ValueError(
            f"{registry.uri}/{MIRROR} is damaged; `glip-engine mirror {registry.uri} --model NAME` writes it again"
        ) from None


def _caught_up(registry: Registry, name: str) -> Mirroring:
    try:
        _check_reachable()
        return catch_up(registry, name)
    except Exception as error:  # MLflow's are of many kinds, and the move of the pointer stands whatever it is
        return Mirroring(model=name, problem=fault_in_words(error))


def _check_reachable() -> None:
    if not (os.environ.get(MLFLOW_REGISTRY_URI) or os.environ.get(MLFLOW_URI)):
        raise ValueError(f"{MLFLOW_URI} (or {MLFLOW_REGISTRY_URI}) is not set here, so MLflow's address is unknown")
    check_installed("the registry has a mirror")


def _mirror_line(registry: Registry, result: Mirroring) -> str:
    if result.model is None:
        return f"{registry.uri}: its mirror is not looked at: {result.problem}"
    if result.problem is not None:
        return (
            f"MLflow's model {result.model!r} lags behind {registry.uri}: {result.problem}. The registry itself is "
            f"fine; the next promotion makes up for it, or `glip-engine mirror {registry.uri}`"
        )
    added = f"versions added: {', '.join(map(str, result.added))}; " if result.added else ""
    lines = [f"MLflow's model {result.model!r}: {added}champion is version {result.champion}", *result.passed_over]
    return "\n".join(lines)
