"""Tars whose number of samples is stated beside them: planned without being opened, believed where it adds up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from counted_tars import counted_folder, counted_tar
from source_outcomes import read_tars, told

from engine.sources.webdataset import WebDataset
from schemas.recipes import WebDatasetSource
from schemas.records import Reject

HUGE = '{"count": 1000000000000000, "successes": 1000000000000000, "failed_to_download": 0, "failed_to_resize": 0}'


def test_planning_opens_no_tar_where_each_has_its_count_beside_it(
    web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = counted_folder(web, tmp_path / "in")
    monkeypatch.setattr("engine.sources.webdataset.index_tar", lambda file: pytest.fail("a tar was opened"))
    source = WebDataset(WebDatasetSource(uri=str(folder)))
    assert [(ref.uri, ref.first_row, ref.rows) for ref in source.units(2)] == [
        ("00000.tar", 0, 2),
        ("00000.tar", 2, 1),
        ("00001.tar", 0, 2),
        ("00001.tar", 2, 1),
    ]
    assert source.fingerprint()


@pytest.mark.parametrize("unit_size", [1, 2, 100])
def test_counted_and_scanned_tars_are_read_alike(web: Any, tmp_path: Path, unit_size: int) -> None:
    folder = counted_folder(web, tmp_path / "in")
    assert read_tars(folder, unit_size) == read_tars(folder, unit_size, row_counts="scan")


def test_samples_that_a_counted_tar_lacks_are_counted_one_by_one(web: Any, tmp_path: Path) -> None:
    folder = counted_folder(web, tmp_path / "in", held=3, stated=5)
    found = told(read_tars(folder, 2))
    assert [reason for _, reason in found] == [*["ok"] * 6, *["sample_missing"] * 2]
    whole = (folder / "00001.tar").read_bytes()
    (folder / "00001.tar").write_bytes(whole[: len(whole) // 2])
    found = told(read_tars(folder, 2))
    assert len(found) == 8
    assert {reason for _, reason in found[3:]} == {"ok", "sample_missing"}


def test_a_tar_with_more_samples_than_counted_is_rejected_whole_and_says_what_to_do(web: Any, tmp_path: Path) -> None:
    found = read_tars(counted_folder(web, tmp_path / "in", held=4, stated=3), 2)
    assert [reason for _, reason in told(found)] == [*["ok"] * 3, *["tar_miscounted"] * 3]
    assert isinstance(found[-1], Reject)
    assert "source.row_counts=scan" in found[-1].message


def test_a_key_of_another_tar_is_not_taken_where_tars_are_counted(web: Any, tmp_path: Path) -> None:
    counted_tar(web, tmp_path / "in" / "00000.tar", 2, 2)
    counted_tar(web, tmp_path / "in" / "00001.tar", 2, 2)  # the keys of the first again
    assert [reason for _, reason in told(read_tars(tmp_path / "in"))] == ["ok", "ok", "key_foreign", "key_foreign"]


@pytest.mark.parametrize("stats", ["", "[]", "{}", '{"count": 9, "successes": 3}', "[" * 50_000, HUGE])
def test_a_count_that_is_none_or_does_not_add_up_is_not_believed(web: Any, tmp_path: Path, stats: str) -> None:
    folder = counted_folder(web, tmp_path / "in")
    (folder / "00001_stats.json").write_text(stats)
    counted_tar(web, folder / "00000.tar", 3, 30)
    assert [reason for _, reason in told(read_tars(folder))] == ["ok"] * 6


def test_names_of_different_length_are_not_believed_since_keys_could_repeat(web: Any, tmp_path: Path) -> None:
    counted_tar(web, tmp_path / "in" / "0.tar", 1, 9)
    counted_tar(web, tmp_path / "in" / "00.tar", 1, 9)
    assert [reason for _, reason in told(read_tars(tmp_path / "in"))] == ["ok", "key_duplicate"]


def test_planning_a_hundred_thousand_counted_units_takes_seconds(web: Any, tmp_path: Path) -> None:
    for number in range(200):
        counted_tar(web, tmp_path / f"{number:05d}.tar", 0, 100_000)
    started = time.process_time()  # what else the machine does is not counted
    source = WebDataset(WebDatasetSource(uri=str(tmp_path)))
    assert len(source.units(200)) == 100_000
    source.fingerprint()
    assert time.process_time() - started < 10
