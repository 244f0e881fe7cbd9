"""A manifest that cannot be read: no reader of whole datasets leaves its unit out unseen."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from report_datasets import CARD, dog, write_dataset

from engine.artifacts import Store
from engine.dataset.shard_files import manifest_name, read_manifests
from engine.filtering.leaks import read_leak_guard
from engine.mix import Mix
from pipelines.dedupe import dedupe
from pipelines.export import export
from pipelines.lineage.nodes import dataset_digest
from schemas.recipes import MixEntry

READERS: dict[str, Callable[[Path], object]] = {
    "training": lambda dataset: Mix.open([MixEntry(dataset=str(dataset))], 0),
    "export": lambda dataset: export(
        dataset, dataset.with_name(f"{dataset.name}-export"), format="coco", progress=False
    ),
    "dedupe": lambda dataset: dedupe(dataset, progress=False),
    "leaks": lambda dataset: read_leak_guard([str(dataset)], 6),
    "lineage": dataset_digest,
}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    card = CARD.model_copy(update={"samples": 6, "units": 3})
    return write_dataset(tmp_path / "dogs", [dog(number) for number in range(6)], card, units=3)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [b"", b'{"format": "glip-engine/1", "unit": 1', b'{"unit": 1}'], ids=str)
def test_a_reader_of_the_whole_says_so(dataset: Path, reader: str, content: bytes) -> None:
    READERS[reader](shutil.copytree(dataset, dataset.with_name("whole")))  # what is whole is read
    (dataset / manifest_name(1)).write_bytes(content)
    with pytest.raises(ValueError, match=r"manifests/000001\.json is damaged.*verify"):
        READERS[reader](dataset)


def test_manifests_come_in_order_whatever_else_lies_there(dataset: Path) -> None:
    (dataset / "manifests/notes.txt").write_text("mine")
    assert [one.unit for one in read_manifests(Store(dataset))] == [0, 1, 2]
    assert read_manifests(Store(dataset.with_name("nothing"))) == []
