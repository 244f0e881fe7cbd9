"""What a dataset on a disk holds."""

from __future__ import annotations

from pathlib import Path

from engine.artifacts import Store
from engine.shards import LabelledImage, committed_units, read_shard


def samples_in(dataset: Path) -> list[LabelledImage]:
    """Its samples, in order."""
    store = Store(dataset)
    return [sample for unit in committed_units(store) for sample in read_shard(store, unit)]
