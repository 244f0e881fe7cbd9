"""The pictures of a unit are in memory together, and so are its texts: beyond a bound they are rejects, whatever the
kind of the source."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.sources import open_source
from schemas.recipes import CocoSource, FolderSource, ParquetSource, UrlsSource, WebDatasetSource
from schemas.records import Reject

CAPTION = "A brown dog."


def as_tar(web: Any, pictures: list[bytes], folder: Path, server: Any) -> WebDatasetSource:
    members = [
        (f"{n}.{kind}", content)
        for n, one in enumerate(pictures)
        for kind, content in (("jpg", one), ("txt", b"A dog."))
    ]
    return WebDatasetSource(uri=str(web.tar_of(folder / "a.tar", members)))


def as_parquet(web: Any, pictures: list[bytes], folder: Path, server: Any) -> ParquetSource:
    pq.write_table(pa.table({"image": pictures, "caption": [CAPTION] * len(pictures)}), folder / "a.parquet")
    return ParquetSource(uri=str(folder / "a.parquet"))


def files(pictures: list[bytes], folder: Path) -> list[str]:
    for number, picture in enumerate(pictures):
        (folder / f"{number}.jpg").write_bytes(picture)
        (folder / f"{number}.txt").write_text(CAPTION)
    return [f"{number}.jpg" for number in range(len(pictures))]


def as_paths(web: Any, pictures: list[bytes], folder: Path, server: Any) -> ParquetSource:
    pq.write_table(
        pa.table({"image": files(pictures, folder), "caption": [CAPTION] * len(pictures)}), folder / "a.parquet"
    )
    return ParquetSource(uri=str(folder / "a.parquet"))


def as_folder(web: Any, pictures: list[bytes], folder: Path, server: Any) -> FolderSource:
    files(pictures, folder)
    return FolderSource(uri=str(folder))


def as_urls(web: Any, pictures: list[bytes], folder: Path, server: Any) -> UrlsSource:
    urls = [server.url(f"/file/{name}") for name in files(pictures, server.root)]
    (folder / "list.tsv").write_text("".join(f"{url}\t{CAPTION}\n" for url in urls))
    return UrlsSource(uri=str(folder / "list.tsv"), allow_private=True, concurrency=1)


@pytest.mark.parametrize("make", [as_tar, as_parquet, as_paths, as_folder, as_urls])
def test_pictures_for_which_a_unit_has_no_room_are_rejects_and_the_others_are_samples(
    web: Any, tmp_path: Path, bad_server: Any, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any]
) -> None:
    pictures = [web.jpeg(0), web.jpeg(1), web.jpeg(2, 400, 300), web.jpeg(3), web.jpeg(4)]
    fit = sum(map(len, pictures)) - len(pictures[2])
    assert len(pictures[2]) > len(pictures[3]) + len(pictures[4])
    monkeypatch.setattr("engine.sources.unit_bytes.MAX_UNIT_BYTES", fit)
    (tmp_path / "in").mkdir()
    source = open_source(make(web, pictures, tmp_path / "in", bad_server))
    [ref] = source.units(10)
    for _ in range(2):  # each unit has the same room
        found = source.read(ref)
        assert [isinstance(one, Reject) and one.reason for one in found] == [
            False,
            False,
            "unit_too_large",
            False,
            False,
        ]
    assert isinstance(found[2], Reject)
    assert f"{len(pictures[2])} bytes, of {fit} for the pictures of a unit" in found[2].message
    assert "unit_size smaller" in found[2].message


def test_a_picture_that_many_captions_name_takes_its_room_once(
    web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.jpg").write_bytes(web.jpeg(0))
    captions = [{"id": number, "image_id": 1, "caption": CAPTION} for number in range(5)]
    document = {"images": [{"id": 1, "file_name": "one.jpg"}], "annotations": captions}
    (tmp_path / "captions.json").write_text(json.dumps(document))
    monkeypatch.setattr("engine.sources.unit_bytes.MAX_UNIT_BYTES", len(web.jpeg(0)))
    source = open_source(CocoSource(uri=str(tmp_path / "captions.json"), images=str(tmp_path)))
    assert not [one for one in source.read(source.units(10)[0]) if isinstance(one, Reject)]


def test_a_file_of_kilobytes_that_holds_the_same_large_picture_often_takes_no_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, rows = b"\xff\xd8\xff\xe0" + bytes(1_000_000), 300
    table = pa.table({"image": pa.array([picture] * rows, pa.binary()), "caption": [CAPTION] * rows})
    pq.write_table(table, tmp_path / "a.parquet", dictionary_pagesize_limit=1 << 30, compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    monkeypatch.setattr("engine.sources.unit_bytes.MAX_UNIT_BYTES", 5_000_000)
    source = open_source(ParquetSource(uri=str(tmp_path / "a.parquet")))
    [ref] = source.units(rows)
    tracemalloc.start()
    found = source.read(ref)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(isinstance(one, Reject) for one in found) == rows - 4
    assert peak < 20_000_000


ROWS, LONG = 300, "dog " * 200_000  # nearly as long as a cell may be
WIDE = LONG + "\N{DOG FACE}"  # which makes four bytes of each letter in memory
URL = "ftp://no/picture"


@pytest.mark.parametrize(
    ("kind", "row", "fit"),
    [
        (ParquetSource, {"image": "none.jpg", "caption": LONG}, 6),
        (ParquetSource, {"image": {"path": LONG}, "caption": CAPTION}, 6),
        (UrlsSource, {"url": URL, "caption": LONG}, 6),
        (UrlsSource, {"url": URL, "caption": WIDE}, 1),
        (UrlsSource, {"url": URL, "caption": CAPTION, "note": LONG}, 6),
    ],
)
def test_a_file_of_kilobytes_that_holds_the_same_long_text_often_takes_no_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, row: dict[str, Any], fit: int
) -> None:
    pq.write_table(pa.Table.from_pylist([row] * ROWS), tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 50_000
    for name in ("MAX_UNIT_BYTES", "MAX_UNIT_TEXT_BYTES"):
        monkeypatch.setattr(f"engine.sources.unit_bytes.{name}", 5_000_000)
    source = open_source(kind(uri=str(tmp_path), **({"carry": ("note",)} if "note" in row else {})))
    [ref] = source.units(ROWS)
    tracemalloc.start()
    found = source.read(ref)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    too_large = [one for one in found if isinstance(one, Reject) and one.reason == "unit_too_large"]
    assert len(too_large) == ROWS - fit
    assert peak < 30_000_000
