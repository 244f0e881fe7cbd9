"""Files of web servers that state no length, or are slow: whole, or an error; never cut, never without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import aiohttp
import fsspec
import misbehaving_routes
import pytest
from counted_tars import counted_folder

from engine.sources import whole_files
from engine.sources.folder import read_table
from engine.sources.image_files import ImageFolder
from engine.sources.places import Files
from engine.sources.tar_counts import stated_counts

PIECES = 5
PAUSE_S = 0.02


async def in_pieces(request: Any) -> None:
    """A file of the server's folder, its length not stated, in pieces with a pause between."""
    content = (request.server.root / request.rest).read_bytes()
    request.head("200 OK", "Transfer-Encoding: chunked")
    if request.method == "HEAD":
        return
    size = -(-len(content) // PIECES)
    for start in range(0, len(content), size):
        part = content[start : start + size]
        request.writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        await request.writer.drain()
        await asyncio.sleep(PAUSE_S)
    request.writer.write(b"0\r\n\r\n")


async def endless(request: Any) -> None:
    """A file of no stated length that never ends."""
    request.head("200 OK", "Transfer-Encoding: chunked")
    while request.method != "HEAD":
        request.writer.write(misbehaving_routes.CHUNK)
        await request.writer.drain()


@pytest.fixture
def server(bad_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, route in (("in_pieces", in_pieces), ("endless", endless)):
        monkeypatch.setitem(misbehaving_routes.ROUTES, name, route)
    monkeypatch.setattr(whole_files.time, "sleep", lambda _: None)
    fsspec.filesystem("http").clear_instance_cache()  # each with its own connections and limits
    yield bad_server
    fsspec.filesystem("http").clear_instance_cache()
    while bad_server.active:  # what a client has given up is answered to its end
        threading.Event().wait(0.01)


def test_a_picture_that_comes_in_pieces_is_read_to_its_end(server: Any, web: Any) -> None:
    picture = web.jpeg(1, 300, 200)
    (server.root / "one.jpg").write_bytes(picture)
    assert ImageFolder(server.url("/in_pieces"), 1_000_000).read("one.jpg") == picture


def test_counts_that_come_in_pieces_are_read_to_their_end(server: Any, web: Any) -> None:
    folder = counted_folder(web, server.root)
    tars = f"{{00000..{len(list(folder.glob('*.tar'))) - 1:05d}}}.tar"
    counts = stated_counts(Files(server.url(f"/in_pieces/{tars}"), (".tar",)))
    assert counts is not None
    assert counts == stated_counts(Files(str(folder), (".tar",)))


def test_a_file_without_a_length_is_fetched_whole(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it takes longer than the client's own limit, five minutes for a file of any size."""
    monkeypatch.setattr(aiohttp.client, "DEFAULT_TIMEOUT", aiohttp.ClientTimeout(total=PIECES * PAUSE_S / 2))
    (server.root / "a.tar").write_bytes(b"x" * 100_000)
    files = Files(server.url("/in_pieces/a.tar"), (".tar",))
    assert files.all[0].size is None
    with files.open_whole(files.all[0]) as opened:
        assert opened.read() == b"x" * 100_000


@pytest.mark.parametrize("over", [0, 1])
def test_a_table_without_a_length_is_read_to_its_end_or_refused(
    server: Any, monkeypatch: pytest.MonkeyPatch, over: int
) -> None:
    rows = "file_name,caption\n" + "a.jpg,a dog\n" * 50
    (server.root / "pairs.csv").write_text(rows)
    monkeypatch.setattr("engine.sources.folder.MAX_TABLE_BYTES", len(rows) - over)
    with pytest.raises(ValueError, match="not a single table of at most") if over else nullcontext():
        assert len(read_table(server.url("/in_pieces/pairs.csv"))) == 50


def test_a_file_without_an_end_is_an_error(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_files, "MAX_UNSTATED_BYTES", 1_000_000)
    files = Files(server.url("/endless/a.tar"), (".tar",))
    with pytest.raises(ValueError, match=r"/a\.tar has more than 1000000 bytes, .*; download it, and give the file"):
        files.open_whole(files.all[0])


def test_a_server_that_is_too_slow_is_not_waited_for(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_files, "PATIENCE_S", 0.0)
    monkeypatch.setattr(whole_files, "SLOWEST_BYTES_S", 1e9)
    (server.root / "a.tar").write_bytes(b"x" * 100_000)
    files = Files(server.url("/in_pieces/a.tar"), (".tar",))
    with pytest.raises(RuntimeError, match=r"a\.tar cannot be fetched: TimeoutError: only \d+ bytes came in 0 s"):
        files.open_whole(files.all[0])


def test_a_full_disk_is_told_at_once_with_where_to_make_room(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (server.root / "a.tar").write_bytes(b"x" * 100_000)
    files = Files(server.url("/file/a.tar"), (".tar",))
    full = open("/dev/full", "r+b", buffering=0)  # noqa: SIM115 - `fetched` closes it
    monkeypatch.setattr(whole_files.tempfile, "TemporaryFile", lambda prefix: full)
    before = server.asked["/file/a.tar"]
    with pytest.raises(RuntimeError, match=r"there is no room in .* for .*/a\.tar .*set TMPDIR to another disk"):
        files.open_whole(files.all[0])
    assert server.asked["/file/a.tar"] - before <= 2, "one try: its head and its content"
