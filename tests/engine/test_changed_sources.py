"""A table that is written anew while its job runs: its rows are no longer those that the units were cut from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_outcomes import told

from engine.sources.urls import Urls
from schemas.recipes import UrlsSource

Lines = list[tuple[str, str]]
LINES = [(f"ftp://a/{number * 7 % 300}", f"picture {number}") for number in range(300)]


def as_tsv(lines: Lines, path: Path) -> None:
    path.write_text("url\tcaption\n" + "".join(f"{url}\t{caption}\n" for url, caption in lines))


def as_csv(lines: Lines, path: Path) -> None:
    path.write_text("url,caption\n" + "".join(f"{url},{caption}\n" for url, caption in lines))


def as_jsonl(lines: Lines, path: Path) -> None:
    path.write_text("".join(f'{{"url": "{url}", "caption": "{caption}"}}\n' for url, caption in lines))


def as_parquet(lines: Lines, path: Path) -> None:
    urls, captions = zip(*lines, strict=True)
    pq.write_table(pa.table({"url": urls, "caption": captions}), path, row_group_size=100)


@pytest.mark.parametrize("rows", [sorted(LINES), LINES[:150], LINES[:295], [("ftp://a/new", "a new one"), *LINES]])
@pytest.mark.parametrize(
    ("write", "ending"), [(as_tsv, "tsv"), (as_csv, "csv"), (as_jsonl, "jsonl"), (as_parquet, "parquet")]
)
def test_a_table_that_changes_between_planning_and_reading_stops_the_job(
    tmp_path: Path, write: Callable[[Lines, Path], None], ending: str, rows: Lines
) -> None:
    path = tmp_path / f"list.{ending}"
    write(LINES, path)
    source = Urls(UrlsSource(uri=str(path)))
    ref = source.units(100)[2]
    write(rows, path)
    with pytest.raises(RuntimeError, match=rf"list\.{ending} changed while the job ran; leave the source alone"):
        source.read(ref)


def test_a_list_that_only_grows_gives_the_rows_that_were_planned(tmp_path: Path) -> None:
    path = tmp_path / "list.tsv"
    as_tsv(LINES[:200], path)
    source = Urls(UrlsSource(uri=str(path)))
    refs = source.units(100)
    before = [told(source.read(ref)) for ref in refs]
    as_tsv(LINES, path)
    again = Urls(UrlsSource(uri=str(path)))
    assert [told(source.read(ref)) for ref in refs] == before == [told(again.read(ref)) for ref in again.units(100)[:2]]
