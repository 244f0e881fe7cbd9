"""What works on this machine: each part of the installation is really opened, not only imported; and which extras are
there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from pipelines.console.terminal import with_notes
from schemas.reports import Document

EXTRAS = {"s3": "s3fs", "language": "py3langid", "mlflow": "mlflow"}  # by the module that each brings


class Finding(Document):
    """One part of the installation: whether it works, and what was found or what to do."""

    name: str
    ok: bool
    message: str


def examine() -> list[Finding]:
    """Findings for torch, the caption parser, the shipped model, Ray, the extras and the disk."""
    checks: dict[str, Callable[[], str]] = {
        "torch": _torch,
        "caption parser": _caption_parser,
        "nano model": _nano,
        "ray": _ray,
        "extras": _extras,
        "disk": _disk,
    }
    return [_check(name, check) for name, check in checks.items()]


def _check(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, ok=True, message=check())
    except Exception as error:
        told = with_notes(f"{type(error).__name__}: {error}", error)
        return Finding(name=name, ok=False, message=" ".join(told.split()))


def _torch() -> str:
    import torch

    from engine.running.cores import usable_cores

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {usable_cores()} cores"
    return f"{torch.__version__} on {device}"


def _caption_parser() -> str:
    from engine.phrases import PhraseParser
    from schemas.recipes import PhrasesRecipe

    phrases = PhraseParser(PhrasesRecipe()).parse(["a red car and two dogs"])[0]
    return f"'a red car and two dogs' has the phrases {[phrase.text for phrase in phrases]}"


def _nano() -> str:
    from glip.checkpoint import load_model

    loaded = load_model("nano", "cpu")
    parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    return f"{parameters / 1e6:.1f} M parameters, digest {loaded.digest[:12]}"


def _ray() -> str:
    from engine.runner import connected
    from engine.running.layout import Workers

    address = os.environ.get("RAY_ADDRESS")
    with connected(Workers(count=1)) as ray:
        there = ray.cluster_resources()
    where = f"the cluster at {address}" if address else "started here (RAY_ADDRESS is not set)"
    return f"{ray.__version__}, {where}: {there.get('CPU', 0):g} CPUs, {there.get('GPU', 0):g} GPUs"


def _extras() -> str:
    missing = [name for name, module in EXTRAS.items() if find_spec(module) is None]
    there = ", ".join(name for name in EXTRAS if name not in missing) or "none"
    return there + (f"; not there: pip install 'glip-engine[{','.join(missing)}]'" if missing else "")


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free
    if free < 1 << 30:
        raise RuntimeError(f"{free >> 20} MB free here; a labelling job needs at least 1 GB")
    return f"{free >> 30} GB free here"
