"""Counts that add up, that stay exact where memory ends, and texts that stay texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from counted_datasets import CARD, PHRASES, Counted, counted_dataset
from generated_boxes import write_generated
from sample_labels import labels_of, write_units

from engine.artifacts import Store
from engine.box_batches import numbered
from engine.box_tables import Connection, box_database
from engine.dataset.manifest_summary import ManifestSummary
from engine.shards import LabelledImage, write_card, write_shard
from engine.statistics import captions, dataset_report
from engine.statistics.histograms import DISTRIBUTIONS, histogram
from engine.statistics.tables import StatisticsTables
from schemas.records import Reject, UnitRef

_ADDING_UP = "source_pairs samples parsed_phrases candidate_boxes rejected_pairs work_seconds images boxes phrases"
ADDING_UP = tuple(_ADDING_UP.split())


@pytest.mark.parametrize("preset", ["all", "grit"])
def test_the_sums_of_single_units_are_those_of_one_pass(tmp_path: Path, preset: str) -> None:
    counted = counted_dataset(tmp_path / "web", units=5)
    whole = dataset_report(counted.folder, preset)
    parts = []
    for unit, manifest in enumerate(counted.manifests):
        store = Store(tmp_path / f"unit{unit}")
        ref = UnitRef(unit, manifest.source_uri, manifest.first_row, manifest.rows)
        counts = {"work_digest": "w", "stages": manifest.stages, "seconds": manifest.seconds}
        write_shard(store, ref, counted.samples[unit], counted.rejects[unit], **counts)  # type: ignore[arg-type]
        write_card(store, CARD)
        parts.append(dataset_report(store.root, preset))
    for name in ADDING_UP:
        assert whole.number(name) == sum(part.number(name) or 0 for part in parts), name
    for number, one in enumerate(whole.histograms):
        assert one.counts == np.sum([part.histograms[number].counts for part in parts], axis=0).tolist(), one.name
    assert whole.heat_maps[0].counts == np.sum([part.heat_maps[0].counts for part in parts], axis=0).tolist()
    assert sum(one.count for one in whole.rejects) == sum(one.count for part in parts for one in part.rejects)
    dropped = [part.box_selection.dropped for part in parts if part.box_selection]
    assert whole.box_selection is not None
    assert whole.box_selection.dropped == {
        reason: sum(part.get(reason, 0) for part in dropped) for reason in whole.box_selection.dropped
    }


def test_batches_of_any_size_give_the_same_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = counted_dataset(tmp_path / "web")
    whole = dataset_report(counted.folder, "grit")
    monkeypatch.setattr("engine.box_batches.joined.__defaults__", (1,))
    assert dataset_report(counted.folder, "grit") == whole


def test_texts_that_are_told_apart_by_parts_give_the_same_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = counted_dataset(tmp_path / "web")
    whole = dataset_report(counted.folder, "all")
    monkeypatch.setattr("engine.statistics.tables.ROWS_A_PART", 3)
    assert dataset_report(counted.folder, "all") == whole


def made_up_phrases(count: int, rows: int) -> Iterator[pa.Table]:
    """``rows`` occurrences of ``count`` phrases, the same ones again and again."""
    for first in range(0, rows, 100_000):
        numbers = np.arange(first, min(rows, first + 100_000))
        phrases = [f"a rather long and quite particular phrase number {number % count}" for number in numbers]
        yield pa.table(
            {
                "occurrence": numbers,
                "image": numbers,
                "text": phrases,
                "head_lemma": ["number"] * len(numbers),
                "boxes": np.ones(len(numbers), np.int32),
                "score_sum": np.ones(len(numbers)),
                "first_in_image": np.ones(len(numbers), bool),
            }
        )


UNIQUE, ROWS = 700_000, 1_100_000


def filled_with_phrases(connection: Connection) -> StatisticsTables:
    connection.execute("SET threads = 2")
    tables = StatisticsTables(connection)
    for table in made_up_phrases(UNIQUE, ROWS):
        tables.insert("occurrences", table)
    return tables


def test_unique_counts_are_exact_where_they_do_not_fit_into_memory() -> None:
    with box_database(on_disk=True, memory_limit="100MB") as (connection, _):
        tables = filled_with_phrases(connection)
        tables.count()
        assert tables.one("SELECT count(*), sum(occurrences) FROM phrases") == (UNIQUE, ROWS)
        twice = "SELECT count(*) FROM phrases WHERE occurrences = 2"
        assert tables.one(twice) == (ROWS - UNIQUE,)
        assert tables.one("SELECT count(*) FROM (SELECT DISTINCT text FROM occurrences)") == (UNIQUE,)


def test_without_room_on_disk_the_same_count_does_not_fit() -> None:
    """So that the test above is one of spilling."""
    with box_database(on_disk=True, memory_limit="100MB") as (connection, _):
        tables = filled_with_phrases(connection)
        connection.execute("SET max_temp_directory_size = '0KB'")
        with pytest.raises(duckdb.OutOfMemoryException):
            tables.count()


def test_a_small_memory_gives_the_same_report(tmp_path: Path) -> None:
    write_generated(Store(tmp_path), 60_000)
    assert dataset_report(tmp_path, "grit", memory_limit="60MB") == dataset_report(tmp_path, "grit")


def test_a_score_on_an_edge_is_in_the_bin_that_begins_there_and_the_highest_in_the_last_one() -> None:
    """As float32, which most edges are not."""
    scores = next(one for one in DISTRIBUTIONS if one.name == "scores")
    edges = ", ".join(f"{place / scores.bins:.2f}" for place in range(scores.bins + 1))
    with box_database() as (connection, _):
        found = histogram(StatisticsTables(connection), scores._replace(sql=f"SELECT unnest([{edges}])::FLOAT AS v"))
    assert found.counts == [*[1] * (scores.bins - 1), 2]


def test_the_example_of_a_reason_is_the_message_of_the_first_reject(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_card(store, CARD)
    for unit, messages in enumerate((["first", "second"], ["third"])):
        rejects = [Reject("k", "read", "why", message) for message in messages]
        write_shard(store, UnitRef(unit, "u", 0, len(rejects)), [], rejects, work_digest="w", stages=[])
    (found,) = dataset_report(tmp_path, "all").rejects
    assert (found.count, found.example) == (3, "first")


def test_boxes_at_cocos_bounds_are_medium_and_large(tmp_path: Path) -> None:
    boxes = [(0, (0, 0, side, side), 1) for side in (32, 96)]
    write_card(Store(tmp_path), CARD)
    write_units(Store(tmp_path), [[LabelledImage(labels_of("a dog", ["a dog"], boxes), b"", "jpg")]])
    report = dataset_report(tmp_path, "all")
    assert (report.number("small_boxes_share"), report.number("large_boxes_share")) == (0.0, 0.5)


def test_captions_are_sampled_through_the_whole_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "UNITS", 2)
    dogs = [labels_of("a dog" + ", a dog" * 3 * unit, ["a dog"], [(0, (0, 0, 9, 9), 1)]) for unit in range(4)]
    write_card(Store(tmp_path), CARD)
    manifests = write_units(Store(tmp_path), [[LabelledImage(one, b"", "jpg")] for one in dogs])
    found = captions.caption_sample(Store(tmp_path), list(map(ManifestSummary.of, manifests)))
    assert found is not None
    assert found.characters.counts[:4] == [1, 0, 1, 0]  # units 0 and 2 of 4


def test_a_key_of_two_units_is_two_images() -> None:
    keys = pa.chunked_array([pa.array(["a", "b", "a"]).dictionary_encode()])
    _, image = numbered(pa.table({"key": keys, "unit": pa.array([0, 0, 1], pa.int32())}))
    assert image.tolist() == [0, 1, 2]


def test_texts_that_look_like_sql_or_markup_are_counted_as_texts(tmp_path: Path) -> None:
    counted = counted_dataset(tmp_path / "web", images=100)
    report = dataset_report(counted.folder, "all")
    found = {one.text for one in report.head_phrases}
    assert {text.lower() for text, _ in PHRASES} == found
    assert any("DROP TABLE" in text for text, _ in PHRASES)
    assert any("\x00" in text for text in found)


@pytest.mark.parametrize("name", ["it's; DROP TABLE boxes; --", 'a "quoted" name', "%s $1 ?"])
def test_the_name_of_a_dataset_never_becomes_sql(tmp_path: Path, name: str) -> None:
    counted = counted_dataset(tmp_path / name, units=2, images=3)
    assert dataset_report(counted.folder).dataset == name


def test_every_published_statement_runs_and_says_what_its_table_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables told of can be made again from the dataset's files alone, as their definitions have it."""
    counted: Counted = counted_dataset(tmp_path / "web")
    report = dataset_report(counted.folder, "all")
    by_name = {one.name: one for one in report.tables}
    counted_from_others = {"phrases", "heads", "phrase_lemmas"}
    monkeypatch.chdir(counted.folder)
    with box_database() as (connection, _):
        stored = "SELECT *, filename AS unit FROM read_parquet('annotations/*.parquet', filename = true)"
        connection.execute(f"CREATE VIEW annotations AS {stored}")
        made = {name: connection.execute(by_name[name].sql).fetchall() for name in by_name.keys() - counted_from_others}
    rows = {name: len(found) for name, found in made.items()}
    assert rows == {name: by_name[name].rows for name in rows}
    assert rows.keys() == {"images", "occurrences", "boxes", "units", "stages", "drops", "rejects"}
    assert by_name["phrases"].rows == len({row[3].lower() for row in made["occurrences"]})
    assert by_name["heads"].rows == len({row[4] for row in made["occurrences"]})
    dropped = {(unit, stage, reason): count for unit, stage, reason, count in made["drops"]}
    assert sum(dropped.values()) == sum(map(len, counted.rejects))
    assert all(one.sql for one in itertools.chain(report.numbers, report.histograms, report.heat_maps))
