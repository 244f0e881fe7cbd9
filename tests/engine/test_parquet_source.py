"""Parquet files as Hugging Face writes them, and as others do: row groups respected, bad rows counted."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_outcomes import Outcomes, assert_reads_alike, read_units, reasons

from engine.sources import open_source
from engine.sources.parquet import Parquet
from schemas.recipes import ParquetSource
from schemas.records import CaptionedImage

HF_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def read_all(path: Path, unit_size: int = 100, **fields: Any) -> Outcomes:
    return read_units(Parquet(ParquetSource(uri=str(path), **fields)), unit_size)


def hf_table(web: Any, count: int, first: int = 0) -> pa.Table:
    numbers = range(first, first + count)
    images = [{"bytes": web.jpeg(number), "path": f"{number}.jpg"} for number in numbers]
    captions = [f"A dog number {number}." for number in numbers]
    return pa.table({"image": pa.array(images, HF_IMAGE), "caption": captions, "width": list(numbers)})


@pytest.mark.parametrize("unit_size", [1, 2, 3, 4, 7, 100])
@pytest.mark.parametrize("group", [1, 3, 10, 100])
def test_every_row_comes_once_in_order_with_its_bytes(web: Any, tmp_path: Path, unit_size: int, group: int) -> None:
    pq.write_table(hf_table(web, 10), tmp_path / "a.parquet", row_group_size=group)
    pq.write_table(hf_table(web, 3, first=10), tmp_path / "b.parquet", row_group_size=group)
    source = open_source(ParquetSource(uri=str(tmp_path)))
    refs = source.units(unit_size)
    assert max(ref.rows for ref in refs) <= unit_size
    found = [one for ref in refs for one in source.read(ref)]
    assert [one.key for one in found] == [f"{number:09d}" for number in range(13)]
    assert [one.image for one in found] == [web.jpeg(number) for number in range(13)]
    assert found[12].caption == "A dog number 12."
    assert found[12].locator == "b.parquet#2"


def test_a_unit_reads_the_same_in_any_order_and_in_another_process(web: Any, tmp_path: Path) -> None:
    pq.write_table(hf_table(web, 12), tmp_path / "a.parquet", row_group_size=8)
    source = Parquet(ParquetSource(uri=str(tmp_path)))
    refs = source.units(3)
    in_order = [source.read(ref) for ref in refs]
    assert [source.read(ref) for ref in reversed(refs)] == in_order[::-1]
    assert [pickle.loads(pickle.dumps(source)).read(ref) for ref in refs] == in_order


def test_units_keep_to_large_row_groups_and_join_small_ones(web: Any, tmp_path: Path) -> None:
    table = hf_table(web, 1)
    with pq.ParquetWriter(tmp_path / "a.parquet", table.schema) as writer:
        for rows in (10, 2, 2, 9):
            writer.write_table(pa.concat_tables([table] * rows), row_group_size=100)
    refs = Parquet(ParquetSource(uri=str(tmp_path))).units(4)
    assert [(ref.first_row, ref.rows) for ref in refs] == [(0, 4), (4, 4), (8, 4), (12, 2), (14, 4), (18, 4), (22, 1)]


def test_planning_reads_a_small_part_of_the_file(web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.concat_tables([hf_table(web, 1)] * 2000)
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=100, use_dictionary=False, compression="none")
    read = _count_bytes(monkeypatch)
    source = Parquet(ParquetSource(uri=str(tmp_path)))
    source.units(50)
    source.fingerprint()
    size = (tmp_path / "a.parquet").stat().st_size
    assert sum(read) < size / 10
    planned = sum(read)
    source.read(source.units(50)[30])
    assert sum(read) - planned < size / 5


def _count_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what is read from the source's files from now on."""
    import io

    from engine.sources import places

    read: list[int] = []

    class Counted(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            content = super().read(-1 if size is None else size)
            read.append(len(content))
            return content

    monkeypatch.setattr(places.Files, "open", lambda files, file: Counted(file.path))
    return read


def test_plain_bytes_and_paths_are_images_too(web: Any, tmp_path: Path) -> None:
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    (tmp_path / "photos" / "deep" / "1.jpg").write_bytes(web.jpeg(1))
    pq.write_table(pa.table({"jpg": [web.jpeg(0)], "TEXT": ["a dog"]}), tmp_path / "bytes.parquet")
    pq.write_table(pa.table({"file_name": ["deep/1.jpg"], "text": ["a cat"]}), tmp_path / "paths.parquet")
    nothing_but_path = pa.array([{"bytes": None, "path": "photos/deep/1.jpg"}], HF_IMAGE)
    pq.write_table(pa.table({"image": nothing_but_path, "caption": ["a cow"]}), tmp_path / "hf.parquet")
    assert [one.image for one in read_all(tmp_path / "bytes.parquet")] == [web.jpeg(0)]
    found = read_all(tmp_path / "paths.parquet", images=str(tmp_path / "photos"))
    assert [(one.image, one.caption) for one in found] == [(web.jpeg(1), "a cat")]
    assert [one.image for one in read_all(tmp_path / "hf.parquet")] == [web.jpeg(1)]


def test_a_path_never_leads_out_of_the_folder(web: Any, tmp_path: Path) -> None:
    photos = tmp_path / "in" / "photos"
    photos.mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(web.jpeg(9))
    (photos / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (photos / "good.jpg").write_bytes(web.jpeg(1))
    names = ["good.jpg", "../../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg", "a\x00b", "file:///etc/passwd"]
    names += ["http://a/b.jpg", "c:x.jpg", "..\\secret.jpg", "missing.jpg", "", None, "."]
    pq.write_table(pa.table({"image_path": names, "caption": ["a dog"] * len(names)}), tmp_path / "in" / "x.parquet")
    found = reasons(read_all(tmp_path / "in" / "x.parquet", images=str(photos)))
    assert found == ["ok", *["path_unsafe"] * 8, "image_missing", "path_unsafe", "image_missing", "image_missing"]


def test_bad_rows_are_counted_and_the_next_one_is_read(web: Any, tmp_path: Path) -> None:
    good = web.jpeg(1)
    rows = [(good, "a dog"), (good, None), (good, "  "), (None, "a dog"), (b"<html>", "a dog"), (b"", "a dog")]
    rows += [(good + b"x" * 5000, "a dog"), (good, "a cat")]
    table = pa.table({"image": [row[0] for row in rows], "caption": [row[1] for row in rows]})
    pq.write_table(table, tmp_path / "a.parquet")
    expected = ["ok", "caption_missing", "caption_missing", "image_missing", "not_an_image", "not_an_image"]
    assert reasons(read_all(tmp_path / "a.parquet", max_image_bytes=len(good) + 100)) == [
        *expected,
        "image_too_large",
        "ok",
    ]


def test_a_key_column_names_samples_and_repeats_are_counted(web: Any, tmp_path: Path) -> None:
    def write(name: str, keys: list[str | None]) -> None:
        table = hf_table(web, len(keys)).append_column("id", pa.array(keys, pa.string()))
        pq.write_table(table, tmp_path / name)

    write("a.parquet", ["x", "y", "x"])
    write("b.parquet", ["y", "z", "a/b", None])
    found = read_all(tmp_path, key_column="id", unit_size=2)
    assert reasons(found) == ["ok", "ok", "key_duplicate", "key_duplicate", "ok", "key_invalid", "key_invalid"]
    assert [one.key for one in found if isinstance(one, CaptionedImage)] == ["x", "y", "z"]


def test_a_row_group_that_is_damaged_is_rejected_and_the_others_are_read(web: Any, tmp_path: Path) -> None:
    pq.write_table(hf_table(web, 9), tmp_path / "a.parquet", row_group_size=3, compression="zstd")
    metadata = pq.ParquetFile(tmp_path / "a.parquet").metadata
    start = metadata.row_group(1).column(0).data_page_offset
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[start : start + 60] = b"\xff" * 60
    (tmp_path / "a.parquet").write_bytes(content)
    expected = [*["ok"] * 3, *["row_group_broken"] * 3, *["ok"] * 3]
    assert reasons(read_all(tmp_path / "a.parquet")) == expected
    assert reasons(read_all(tmp_path / "a.parquet", unit_size=2)) == expected


def test_keys_behind_a_damaged_row_group_keep_the_numbers_of_their_rows(web: Any, tmp_path: Path) -> None:
    table = hf_table(web, 4).append_column("id", pa.array(["a", "b", "c", "c"]))
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    group = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    chunk = next(one for one in map(group.column, range(group.num_columns)) if one.path_in_schema == "id")
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    (tmp_path / "a.parquet").write_bytes(content)
    found = reasons(read_all(tmp_path / "a.parquet", key_column="id"))
    assert found == ["row_group_broken", "row_group_broken", "ok", "key_duplicate"]


@pytest.mark.parametrize(("room", "reason"), [(0, "ok"), (-1, "image_too_large")])
def test_a_picture_may_be_as_large_as_the_recipe_says(web: Any, tmp_path: Path, room: int, reason: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(web.jpeg(1))
    for picture in (web.jpeg(1), "1.jpg"):
        pq.write_table(pa.table({"image": [picture], "caption": ["a dog"]}), tmp_path / "a.parquet")
        fields = {"images": str(tmp_path / "photos"), "max_image_bytes": len(web.jpeg(1)) + room}
        assert reasons(read_all(tmp_path / "a.parquet", **fields)) == [reason]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet" * 100, b"PAR1" + b"\xff" * 64 + b"PAR1"])
def test_what_is_no_parquet_file_is_an_error_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.parquet is not a Parquet file") as caught:
        open_source(ParquetSource(uri=str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_columns_that_are_not_there_or_no_images_are_errors(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [1], "caption": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="is int64; images are bytes, paths"):
        open_source(ParquetSource(uri=str(tmp_path)))
    with pytest.raises(ValueError, match=r"no column 'photo'.*it has image, caption"):
        open_source(ParquetSource(uri=str(tmp_path), image_column="photo"))
    pq.write_table(pa.table({"x": ["b"], "caption": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"none of the columns .*source\.image_column"):
        open_source(ParquetSource(uri=str(tmp_path)))


def test_the_fingerprint_is_of_the_content_and_not_of_the_place(web: Any, tmp_path: Path) -> None:
    def fingerprint(folder: str, table: pa.Table) -> str:
        (tmp_path / folder).mkdir()
        pq.write_table(table, tmp_path / folder / "a.parquet", row_group_size=4)
        return Parquet(ParquetSource(uri=str(tmp_path / folder))).fingerprint()

    table = hf_table(web, 6)
    captions = table.column("caption").to_pylist()
    other = table.set_column(1, "caption", pa.array([*captions[:4], "A cat number 4.", captions[5]]))
    assert fingerprint("a", table) == fingerprint("b", table)
    assert fingerprint("c", table) != fingerprint("d", other)


def test_files_of_an_object_store_are_read_as_local_ones(web: Any, s3_bucket: str, tmp_path: Path) -> None:
    import s3fs

    pq.write_table(hf_table(web, 9), tmp_path / "a.parquet", row_group_size=4)
    s3fs.S3FileSystem().put(str(tmp_path / "a.parquet"), f"{s3_bucket}/data/a.parquet")
    assert_reads_alike(ParquetSource(uri=str(tmp_path)), ParquetSource(uri=f"{s3_bucket}/data"), 3)


def test_a_file_that_cannot_be_read_ends_the_job_and_is_no_reject(
    web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    from engine.sources import places

    class Failing(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            if fails:
                raise OSError("the store answers 500")
            return super().read(-1 if size is None else size)

    fails = False
    pq.write_table(hf_table(web, 9), tmp_path / "a.parquet", row_group_size=4)
    monkeypatch.setattr(places.Files, "open", lambda files, file: Failing(file.path))
    source = Parquet(ParquetSource(uri=str(tmp_path)))
    refs = source.units(4)
    good = source.read(refs[0])
    fails = True
    with pytest.raises(RuntimeError, match=r"a\.parquet cannot be read: OSError: the store answers 500"):
        source.read(refs[1])
    fails = False
    assert source.read(refs[0]) == good
    assert reasons(source.read(refs[1])) == ["ok"] * 4
