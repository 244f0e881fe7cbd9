"""The real data that some benchmarks need: ``GLIP_ENGINE_DATA``, or ``../shared/data`` beside the checkout."""

from __future__ import annotations

from pathlib import Path

from pipelines.shipped import DATA


def real_data(name: str) -> Path:
    """The path of a folder or a file in the data folder; ends the program with advice where it does not exist."""
    if not (DATA / name).exists():
        raise SystemExit(f"no {name} in {DATA}; set GLIP_ENGINE_DATA to the folder of the real data")
    return DATA / name
