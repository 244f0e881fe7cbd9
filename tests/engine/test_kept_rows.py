"""What a selection leaves of a dataset: the tables of boxes say what its shards say, or that they cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from report_datasets import crowded, leave_out, write_dataset
from verdict_samples import held, said

from engine.artifacts import Store
from engine.duplicates import Duplicates
from engine.mix import Mix, SampleRef
from engine.mix.kept_rows import KeptRows, kept_rows
from engine.review.verdicts import Verdicts, append_verdicts
from engine.selection import PRESETS, resolve_selection, select
from engine.shards import annotations_name, read_manifests, read_shard, shard_name
from engine.view import View
from schemas.recipes import MixEntry, MixSampling, SelectionChoice

LEFT_OUT = Duplicates({1: frozenset({0, 2})}, {"duplicate_exact": 2}, "d" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "dogs", crowded(40, seed=5, least=1), units=4)


def by_tables(folder: Path, selection: SelectionChoice, verdicts: Verdicts | None = None) -> list[KeptRows | None]:
    store = Store(folder)
    rules = resolve_selection(selection)
    view = View(rules, LEFT_OUT, verdicts or Verdicts())
    return list(kept_rows(store, read_manifests(store), view, "phrase_text"))


def by_shards(folder: Path, unit: int, selection: SelectionChoice) -> object:
    kept = {
        row: select(one.labels, selection)
        for row, one in enumerate(read_shard(Store(folder), unit))
        if row not in LEFT_OUT.of(unit)
    }
    kept = {row: labels for row, labels in kept.items() if labels.boxes}
    phrases = sum(len({box.phrase for box in labels.boxes}) for labels in kept.values())
    names = [{labels.phrases[box.phrase].text for box in labels.boxes} for labels in kept.values()]
    return list(kept), phrases, sum(len(labels.boxes) for labels in kept.values()), names


def plain(kept: KeptRows | None) -> object:
    if kept is None:
        return None
    names: list[set[str]] = [set() for _ in kept.rows]
    for sample, name in zip(kept.sample_of_box, kept.name_of_box, strict=True):
        names[sample].add(kept.names[name])
    return kept.rows.tolist(), kept.phrases, kept.boxes, names


@pytest.mark.parametrize("selection", [*PRESETS, {"max_boxes_per_phrase": 1}, {"min_score": 0.9999}], ids=str)
def test_tables_and_shards_say_the_same(folder: Path, selection: SelectionChoice) -> None:
    expected = [by_shards(folder, unit, selection) for unit in range(4)]
    assert [plain(one) for one in by_tables(folder, selection)] == expected


def _without_a_column(folder: Path) -> None:
    path = folder / annotations_name(2)
    pq.write_table(pq.read_table(path).drop_columns(["head_lemma"]), path)


def _without_a_value(folder: Path) -> None:
    path = folder / annotations_name(2)
    table = pq.read_table(path)
    place = table.column_names.index("score")
    without = pc.if_else(pc.equal(table["score"], pc.max(table["score"])), None, table["score"])
    pq.write_table(table.set_column(place, table.field(place), without), path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a missing column": _without_a_column,
    "a missing value": _without_a_value,
    "no table": lambda folder: (folder / annotations_name(2)).unlink(),
    "a broken table": lambda folder: (folder / annotations_name(2)).write_bytes(b"PAR1"),
    "another unit's table": lambda folder: (folder / annotations_name(2)).write_bytes(
        (folder / annotations_name(1)).read_bytes()
    ),
    "no shard": lambda folder: (folder / shard_name(2)).unlink(),
    "half a shard": lambda folder: (folder / shard_name(2)).write_bytes(b"x" * 512),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_table_that_does_not_tell_leaves_it_to_the_shard(folder: Path, damage: str) -> None:
    DAMAGES[damage](folder)
    found = by_tables(folder, "glip")
    assert [one is None for one in found] == [False, False, True, False]


def test_a_shard_that_is_gone_is_told_of_before_a_training_begins(folder: Path) -> None:
    (folder / shard_name(2)).unlink()
    with pytest.raises(FileNotFoundError, match=r"000002\.tar"):
        Mix.open([MixEntry(dataset=str(folder))], 0)


def test_what_tables_cannot_know_is_read_in_the_shards(tmp_path: Path) -> None:
    """Samples without a box, reviewed pictures, and an agreement that nobody measured."""
    samples = crowded(12, seed=5, least=1)
    folder = write_dataset(tmp_path / "dogs", samples, units=3)
    judged = said(samples[5].labels, samples[5].labels.boxes[0].phrase, "accepted", samples[5].labels.boxes[0].box_xyxy)
    found = by_tables(folder, "glip", held([judged]))
    assert [one is None for one in found] == [False, True, False]
    assert by_tables(folder, {"min_agreement": 0.5}) == [None] * 3
    sparse = write_dataset(tmp_path / "sparse", crowded(12, seed=5), units=2)
    assert None in by_tables(sparse, "glip")


SAMPLINGS = [
    MixSampling(),
    MixSampling(repeat_threshold=0.5, repeat_by="head"),
    MixSampling(repeat_threshold=0.5, repeat_by="phrase"),
]


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["all alike", "by head", "by phrase"])
def test_a_mix_draws_the_same_with_and_without_its_tables_and_no_duplicate(folder: Path, sampling: MixSampling) -> None:
    samples = [one.labels for unit in range(4) for one in read_shard(Store(folder), unit)]
    append_verdicts(
        Store(folder), [said(samples[3], samples[3].boxes[0].phrase, "accepted", samples[3].boxes[0].box_xyxy)]
    )
    leave_out(folder, (0, 2))
    with_tables = Mix.open([MixEntry(dataset=str(folder))], 0, sampling)
    assert not {SampleRef(0, 0, 0), SampleRef(0, 0, 2)} & set(with_tables.datasets[0].refs)
    for unit in range(4):
        (folder / annotations_name(unit)).unlink()
    without = Mix.open([MixEntry(dataset=str(folder))], 0, sampling)
    assert list(with_tables.datasets[0].refs) == list(without.datasets[0].refs)
    assert with_tables.table() == without.table()
