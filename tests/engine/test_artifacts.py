"""A file of a store is whole or absent, whatever happens while it is written."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import Store, canonical_json, digest_of
from engine.storage.digests import digest_of_list
from engine.storage.many_at_once import REQUESTS_AT_ONCE, many_at_once


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A local folder, and an object store (in memory) that has no folders and no rename."""
    return Store(tmp_path / "store" if request.param == "folder" else f"memory://{tmp_path.name}")


def test_what_is_written_is_read_with_its_digest_and_size(store: Store) -> None:
    store.write("shards/0.tar", b"abc")
    assert store.read("shards/0.tar") == b"abc"
    assert store.size("shards/0.tar") == 3
    assert store.digest("shards/0.tar") == ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)
    assert store.names("shards") == ["0.tar"]


def test_what_a_system_leaves_in_a_folder_is_not_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("shards/.DS_Store", "shards/._000000.tar", "shards/000000.tar"):
        store.write(name, b"")
    assert store.names("shards") == ["000000.tar"]


def test_what_is_not_there_has_no_size_and_no_name(store: Store) -> None:
    assert store.size("shards/0.tar") is None
    assert not store.exists("shards/0.tar")
    assert store.names("shards") == []
    store.delete("shards/0.tar")
    with pytest.raises(FileNotFoundError):
        store.read("shards/0.tar")


def test_a_store_is_called_by_the_last_part_of_its_address_however_that_is_spelt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "human").mkdir()
    monkeypatch.chdir(tmp_path / "human")
    spelt = (".", "./", "../human", "x/..", tmp_path / "human", "memory://a/human/")
    assert [Store(root).name for root in spelt] == ["human"] * len(spelt)


def test_an_empty_file_is_read_as_what_it_is(s3_bucket: str, tmp_path: Path) -> None:
    for root in (tmp_path, f"memory://{tmp_path.name}", f"{s3_bucket}/d"):
        store = Store(root)
        store.write("a", b"")
        assert store.read("a") == b""
        assert list(store.read_many(["a", "a"])) == [b"", b""]


def test_requests_are_answered_in_order_not_far_ahead_and_none_after_one_that_failed() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return 100 // (150 - number)

    found = many_at_once(work, range(1000))
    assert [next(found) for _ in range(150)] == [100 // (150 - number) for number in range(150)]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert len(begun) <= 150 + 2 * REQUESTS_AT_ONCE


def test_a_write_that_fails_leaves_the_old_file_and_no_trace(store: Store) -> None:
    store.write("a", b"old")
    with pytest.raises(TypeError), store.writing("a") as file:
        file.writelines([b"half of the new", "no bytes"])  # type: ignore[list-item]
    assert store.read("a") == b"old"
    assert store.names("") == ["a"]


def test_a_file_that_is_being_written_has_no_name_yet(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing("a") as file:
        file.write(b"half")
        file.flush()
        assert store.names("") == []
        assert not store.exists("a")
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("lasting", [True, False])
def test_the_content_is_on_the_disk_before_its_name_and_a_lasting_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    """The calls as they come; each is made."""
    calls: list[str] = []

    def fsync(opened: int, really: Any = os.fsync) -> None:
        calls.append("fsync of the folder" if stat.S_ISDIR(os.fstat(opened).st_mode) else "fsync of the content")
        really(opened)

    def replace(temporary: str, final: str, really: Any = os.replace) -> None:
        calls.append(f"named, {os.stat(temporary).st_mode & 0o777:o}")
        really(temporary, final)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    Store(tmp_path).write("a", b"whole", lasting=lasting)
    assert calls == ["fsync of the content", "named, 644", *(["fsync of the folder"] if lasting else [])]
    calls.clear()
    Store(tmp_path).flush("")
    assert calls == ["fsync of the folder"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_is_as_readable_as_the_umask_says_without_a_chmod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int, mode: int
) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError("a file system without modes")

    for call in ("chmod", "fchmod"):
        monkeypatch.setattr(os, call, refused)
    before = os.umask(mask)
    try:
        Store(tmp_path).write("a", b"whole")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_an_object_that_a_store_did_not_take_whole_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(f"memory://{tmp_path.name}")
    put = store._files.put_file

    def put_half(local: str, final: str) -> None:
        put(local, final)
        store._files.pipe_file(final, store._files.cat_file(final)[:2])

    monkeypatch.setattr(store._files, "put_file", put_half)
    with pytest.raises((OSError, RuntimeError), match="2 of 5 bytes were stored"):
        store.write("a", b"whole")


def test_an_object_is_stored_whole_where_dev_fd_is_the_file_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(f"memory://{tmp_path.name}")

    def put_as_macos_opens(local: str, final: str) -> None:
        with open(os.dup(int(local.removeprefix("/dev/fd/"))), "rb") as same:
            store._files.pipe_file(final, same.read())

    monkeypatch.setattr(store._files, "put_file", put_as_macos_opens)
    store.write("a", b"whole")
    assert store.read("a") == b"whole"


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("a", b"whole")
    (tmp_path / ".writing-xyz").write_bytes(b"half")
    assert store.delete_temporary_files("") == 1
    assert os.listdir(tmp_path) == ["a"]
    with store.locked():
        assert store.delete_temporary_files("") == 0
        with pickle.loads(pickle.dumps(store)).committing():  # its workers pass: the fence of the job stands
            pass


@pytest.mark.parametrize("name", ["../a", "/etc/a", "shards/../../a"])
def test_a_name_that_leads_out_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        store.write(name, b"")


def test_a_file_larger_than_its_kind_may_be_is_refused(store: Store) -> None:
    store.write("a", b"12345")
    with pytest.raises(ValueError, match="more than 4 bytes"):
        store.read("a", max_bytes=4)


def test_two_jobs_cannot_hold_one_folder_and_the_lock_ends_with_its_block(tmp_path: Path) -> None:
    store, same = Store(tmp_path / "new"), Store(tmp_path / "new")
    with store.locked():
        with pytest.raises(ValueError, match="written by another job"), same.locked():
            pass
        assert store.names("") == []
    with same.locked():
        pass
    assert os.listdir(tmp_path / "new") == []


def test_equal_values_have_equal_digests_whatever_their_order() -> None:
    assert canonical_json({"b": [1.5, "é"], "a": None}) == '{"a":null,"b":[1.5,"é"]}'
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1}) != digest_of({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="JSON"):
        digest_of(float("nan"))


def test_a_list_that_is_never_whole_in_memory_has_the_digest_of_the_list() -> None:
    for values in ([], [7], [None, "é", {"b": 1, "a": [2]}], [[], [1, -1]]):
        assert digest_of_list(iter(values)) == digest_of(values)
    assert digest_of_list(["name", iter([1, 2])]) == digest_of(["name", [1, 2]])
    assert digest_of_list([iter([])]) == digest_of([[]])
