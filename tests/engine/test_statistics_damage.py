"""Damaged, half-written, foreign, empty and distant datasets: a report of what is whole, and a word about the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from counted_datasets import CARD, Counted, counted_dataset

from engine.artifacts import Store
from engine.box_tables import box_database
from engine.dataset.manifest_summary import ManifestSummary
from engine.dataset.wholeness import Examination
from engine.shards import write_card
from engine.statistics import dataset_report
from engine.statistics.rejects import fill_rejects
from engine.statistics.tables import StatisticsTables
from schemas.dataset_report import DatasetReport, UnitProblem
from schemas.shards import ShardManifest


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return counted_dataset(tmp_path / "web")


def boxes_of(counted: Counted, *units: int) -> int:
    return sum(len(one.labels.boxes) for unit in units for one in counted.samples[unit])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def same_size_noise(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


def other_format(path: Path) -> None:
    path.write_text(path.read_text().replace("glip-engine/1", "glip-engine/9"))


def no_time(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": float("nan")}))


def copy_of_unit_0(path: Path) -> None:
    path.write_bytes(path.with_stem("000000").read_bytes())


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no manifest": ("manifests/000001.json", Path.unlink, "was not committed"),
    "half a manifest": ("manifests/000001.json", truncate, "is not a manifest of this format"),
    "another format": ("manifests/000001.json", other_format, "is not a manifest of this format: format"),
    "another unit's manifest": ("manifests/000001.json", copy_of_unit_0, "it is the manifest of unit 0"),
    "a time that is none": ("manifests/000001.json", no_time, "is not a manifest of this format: seconds"),
    "no table": ("annotations/000001.parquet", Path.unlink, "it is missing"),
    "a longer table": ("annotations/000001.parquet", lambda path: path.write_bytes(path.read_bytes() * 2), "says"),
    "half a table": ("annotations/000001.parquet", truncate, "its manifest says"),
    "noise": ("annotations/000001.parquet", same_size_noise, "cannot be read as a table"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_unit_is_left_out_and_told_of(counted: Counted, kind: str) -> None:
    name, damage, problem = DAMAGE[kind]
    damage(counted.folder / name)
    report = dataset_report(counted.folder, "all")
    assert report.number("boxes") == boxes_of(counted, 0, 2)
    assert report.number("candidate_boxes") == boxes_of(counted, 0, 2)
    assert (report.whole.units_found, report.whole.units_counted) == (4, 3)
    [found] = report.whole.problems
    assert (found.unit, found.file) == (1, name)
    assert problem in found.problem
    assert any("1 of 4 units are not whole" in message for message in report.whole.messages)


def rewritten(counted: Counted, unit: int, change: Callable[[pa.Table], pa.Table]) -> None:
    """The table of a unit as another writer would have left it, and the manifest that says so."""
    path = counted.folder / f"annotations/{unit:06d}.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    manifest = counted.folder / f"manifests/{unit:06d}.json"
    document = json.loads(manifest.read_text())
    for file in document["files"]:
        if file["path"].startswith("annotations"):
            file["size"] = path.stat().st_size
    manifest.write_text(ShardManifest.model_validate(document).model_dump_json())


WRONG: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "rows lost": (lambda table: table.slice(1), "its manifest says"),
    "no phrase": (lambda table: table.drop_columns(["phrase_text"]), "it has no column phrase_text"),
    "text for a number": (
        lambda table: table.set_column(10, "score", pa.array(["high"] * len(table))),
        "cannot be read as a table",
    ),
    "a score of nothing": (
        lambda table: table.set_column(10, "score", pa.array([float("nan")] * len(table), pa.float32())),
        "a score that is not from 0 to 1",
    ),
    "no size": (
        lambda table: table.set_column(12, "width", pa.array([0] * len(table), pa.int32())),
        "not inside their image",
    ),
    "nulls": (lambda table: table.set_column(0, "key", pa.nulls(len(table), pa.string())), "without a value"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_table_of_wrong_rows_is_left_out_and_told_of(counted: Counted, kind: str) -> None:
    change, problem = WRONG[kind]
    rewritten(counted, 1, change)
    report = dataset_report(counted.folder, "all")
    assert report.number("boxes") == boxes_of(counted, 0, 2)
    assert [(one.unit, problem in one.problem) for one in report.whole.problems] == [(1, True)]


@pytest.mark.parametrize("damage", [same_size_noise, Path.unlink])
def test_a_broken_table_of_rejects_costs_its_examples_alone(counted: Counted, damage: Callable[[Path], None]) -> None:
    whole = dataset_report(counted.folder, "all")
    damage(counted.folder / "rejects/000001.parquet")
    report = dataset_report(counted.folder, "all")
    assert (report.numbers, report.stages) == (whole.numbers, whole.stages)
    assert sum(one.count for one in report.rejects) == sum(map(len, counted.rejects)) - len(counted.rejects[1])
    assert [one.file for one in report.whole.problems] == ["rejects/000001.parquet"]


class Watched(list[UnitProblem]):
    """Problems that count how often somebody goes through all of them."""

    times = 0

    def __iter__(self) -> Iterator[UnitProblem]:
        self.times += 1
        return super().__iter__()


def test_what_is_wrong_is_gone_through_once_however_many_tables_of_rejects_are_missing(tmp_path: Path) -> None:
    units, problems = range(20), Watched()
    found = Examination({unit: ManifestSummary(unit, "0.tar", 0, 1, 0, 0, 0, 1, ()) for unit in units}, 20, problems)
    with box_database() as (connection, _):
        fill_rejects(StatisticsTables(connection), Store(tmp_path), found)
    assert (problems.times, len(problems)) == (1, 20)


def test_missing_shards_are_told_of_and_no_reason_not_to_count(counted: Counted) -> None:
    whole = dataset_report(counted.folder, "grit")
    for path in (counted.folder / "shards").iterdir():
        path.unlink()
    report = dataset_report(counted.folder, "grit")
    assert report.numbers == whole.numbers
    assert report.captions is None
    assert any("shards of 4 units are missing" in message for message in report.whole.messages)


def test_a_table_that_lacks_a_column_is_of_another_format_and_its_unit_is_not_counted(counted: Counted) -> None:
    rewritten(counted, 1, lambda table: table.drop_columns(["head_lemma"]))
    report = dataset_report(counted.folder, "all")
    assert [(one.unit, one.problem) for one in report.whole.problems] == [
        (1, "it has no column head_lemma: it is of another format")
    ]
    assert report.number("boxes") == boxes_of(counted, 0, 2)


def test_an_empty_dataset_says_that_it_is(tmp_path: Path) -> None:
    write_card(Store(tmp_path), CARD.model_copy(update={"complete": False, "planned_units": 7}))
    report = dataset_report(tmp_path)
    assert "is empty" in report.whole.messages[0]
    assert "0 of 7 planned units" in report.whole.messages[1]
    assert {one.name: one.value for one in report.numbers if one.value}.keys() == set()
    assert all(sum(one.counts) == 0 for one in report.histograms)


def test_what_was_only_begun_is_told(counted: Counted) -> None:
    write_card(Store(counted.folder), CARD.model_copy(update={"complete": False, "planned_units": 9}))
    assert "not complete: 4 of 9 planned units" in dataset_report(counted.folder).whole.messages[0]


def test_the_report_of_a_damaged_dataset_is_a_document_that_reads_back(counted: Counted) -> None:
    truncate(counted.folder / "annotations/000002.parquet")
    report = dataset_report(counted.folder)
    assert DatasetReport.model_validate_json(report.model_dump_json()) == report


def test_an_object_store_gives_the_same_report(counted: Counted, s3_bucket: str) -> None:
    import s3fs

    s3fs.S3FileSystem().put(str(counted.folder), f"{s3_bucket}/web", recursive=True)
    distant = dataset_report(f"{s3_bucket}/web", "grit")
    assert distant == dataset_report(counted.folder, "grit")
    s3fs.S3FileSystem().rm(f"{s3_bucket}/web/annotations/000001.parquet")
    damaged = dataset_report(f"{s3_bucket}/web", "all")
    assert damaged.number("boxes") == boxes_of(counted, 0, 2)
