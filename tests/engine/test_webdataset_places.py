"""Where tars lie: folders, globs and braces, web servers and object stores give the same rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import fsspec
import pytest
from counted_tars import counted_folder
from source_outcomes import assert_reads_alike

from engine.sources import open_source, places, whole_files
from engine.sources.webdataset import WebDataset
from schemas.recipes import WebDatasetSource


@pytest.mark.parametrize("pattern", ["", "*.tar", "0000{0..2}.tar", "{00000,00002,00001}.tar", "0000[0-2].tar"])
def test_folders_globs_and_braces_give_the_same_tars_in_the_same_order(web: Any, tmp_path: Path, pattern: str) -> None:
    for number in range(3):
        web.tar_of(tmp_path / f"0000{number}.tar", web.samples(2, first=2 * number))
    source = WebDataset(WebDatasetSource(uri=f"{tmp_path}/{pattern}"))
    assert [ref.uri for ref in source.units(10)] == ["00000.tar", "00001.tar", "00002.tar"]
    assert source.fingerprint() == WebDataset(WebDatasetSource(uri=str(tmp_path))).fingerprint()


def test_a_tar_that_braces_name_and_that_is_not_there_is_an_error(
    web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.tar_of(tmp_path / "0.tar", web.samples(1))
    with pytest.raises(ValueError, match=r"of 3 files 2 are missing, the first is .*1\.tar"):
        open_source(WebDatasetSource(uri=f"{tmp_path}/{{0..2}}.tar"))
    monkeypatch.setattr(places, "MAX_FILES", 9)
    for many in ("{0..99999999999}", "{-99999999999..0..3}", "{0..3}{0..3}"):
        with pytest.raises(ValueError, match="more than 9 files"):
            open_source(WebDatasetSource(uri=f"{tmp_path}/{many}.tar"))
    with pytest.raises(ValueError, match="of 2 files 1 are missing"):
        open_source(WebDatasetSource(uri=f"{tmp_path}/{{0..9999999..9999999}}.tar"))


@pytest.mark.parametrize("counted", [True, False])
def test_tars_of_a_web_server_without_ranges_are_read_as_local_ones(web: Any, bad_server: Any, counted: bool) -> None:
    folder = counted_folder(web, bad_server.root)
    if not counted:
        (folder / "00000_stats.json").unlink()
    assert_reads_alike(
        WebDatasetSource(uri=str(folder)), WebDatasetSource(uri=bad_server.url("/file/{00000..00001}.tar")), 2
    )


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("pattern", ["", "/*.tar", "/{00000..00001}.tar"])
def test_tars_of_an_object_store_are_read_as_local_ones(
    web: Any, s3_bucket: str, tmp_path: Path, counted: bool, pattern: str
) -> None:
    import s3fs

    folder = counted_folder(web, tmp_path / "in")
    if not counted:
        (folder / "00000_stats.json").unlink()
    s3fs.S3FileSystem().put(str(folder), f"{s3_bucket}/web", recursive=True)
    assert_reads_alike(WebDatasetSource(uri=str(folder)), WebDatasetSource(uri=f"{s3_bucket}/web{pattern}"), 2)


def test_planning_over_a_network_reads_headers_and_not_the_pictures(
    web: Any, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    members = [(f"{n:03d}.{kind}", b"x" * size) for n in range(5) for kind, size in (("jpg", 3_000_000), ("txt", 9))]
    path = web.tar_of(tmp_path / "0.tar", members)
    s3fs.S3FileSystem().put(str(path), f"{s3_bucket}/0.tar")
    fetched: list[int] = []
    real = s3fs.S3File._fetch_range
    monkeypatch.setattr(
        s3fs.S3File, "_fetch_range", lambda self, start, end: fetched.append(end - start) or real(self, start, end)
    )
    assert len(WebDataset(WebDatasetSource(uri=f"{s3_bucket}/0.tar")).units(10)) == 1
    assert 0 < sum(fetched) < path.stat().st_size / 8


def test_a_copy_that_came_short_is_fetched_again_and_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(whole_files.time, "sleep", pauses.append)
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/{tmp_path.name}/a.tar", b"x" * 100)
    files = places.Files(f"memory://{tmp_path.name}/a.tar", (".tar",))
    memory.pipe_file(f"/{tmp_path.name}/a.tar", b"x" * 50)
    with pytest.raises(RuntimeError, match="50 of 100 bytes came"):
        files.open_whole(files.all[0])
    assert len(pauses) == whole_files.FETCH_TRIES - 1


def test_a_store_that_is_not_there_is_an_error_in_one_line(s3_bucket: str) -> None:
    for uri in (f"{s3_bucket}/nothing/*.tar", f"{s3_bucket}/nothing.tar", "s3://no-such-bucket/x.tar", "ftq://a/b.tar"):
        with pytest.raises(ValueError, match=r"^source ") as caught:
            open_source(WebDatasetSource(uri=uri))
        assert "\n" not in str(caught.value)


def test_tars_in_folders_of_a_folder_are_told_with_the_glob_that_finds_them(web: Any, tmp_path: Path) -> None:
    web.tar_of(tmp_path / "train" / "00000.tar", web.samples(2))
    with pytest.raises(ValueError, match="in folders of it") as error:
        open_source(WebDatasetSource(uri=str(tmp_path)))
    (glob,) = re.findall(r"'(.*)'", str(error.value))
    assert len(open_source(WebDatasetSource(uri=glob)).units(10)) == 1
