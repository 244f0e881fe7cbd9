"""What is held of a manifest says what the manifest says in a small part of its memory, and reports count all of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from counted_datasets import counted_dataset

from engine.artifacts import Store
from engine.shards import manifest_name, read_manifests
from engine.statistics import dataset_report
from schemas.reports import StageCounts
from schemas.shards import ShardManifest


def test_a_summary_has_the_values_of_its_manifest(tmp_path: Path) -> None:
    counted = counted_dataset(tmp_path / "web")
    for manifest, summary in zip(counted.manifests, read_manifests(Store(counted.folder)), strict=True):
        held = asdict(summary)
        held["files"] = list(held["files"])
        assert held == manifest.model_dump(include=set(held))


def test_manifests_are_held_in_a_small_part_of_their_memory(tmp_path: Path) -> None:
    """As long as those of a labelling job, whose six stages are most of it."""
    manifest = counted_dataset(tmp_path / "web").manifests[0]
    stages = [StageCounts(stage=name, came_in=9, went_on=9, seconds=1.5) for name in "abcdef"]
    store = Store(tmp_path / "many")
    for unit in range(300):
        whole = ShardManifest.model_validate(manifest.model_dump() | {"unit": unit, "stages": stages})
        store.write_document(manifest_name(unit), whole, lasting=False)
    contents = list(store.read_many([manifest_name(unit) for unit in range(300)]))
    as_models = _bytes_held(lambda: [ShardManifest.model_validate_json(content) for content in contents])
    assert _bytes_held(lambda: read_manifests(store)) < as_models / 5


def _bytes_held(read: Callable[[], Sequence[object]]) -> int:
    tracemalloc.start()
    held = read()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held
    return size


def test_a_report_over_several_batches_of_units_is_that_over_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a unit turns out not to be whole once its rows are there."""
    counted = counted_dataset(tmp_path / "web", units=5)
    (counted.folder / "annotations/000001.parquet").write_bytes(
        b"x" * (counted.folder / "annotations/000001.parquet").stat().st_size
    )
    in_one = dataset_report(counted.folder)
    assert in_one.units == 4
    assert in_one.number("source_pairs") == sum(one.rows for one in counted.manifests if one.unit != 1)
    monkeypatch.setattr("engine.statistics.units.UNITS_AT_ONCE", 2)
    assert dataset_report(counted.folder) == in_one
