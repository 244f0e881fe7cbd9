"""What an object store refuses is told in words that name the file and what to do; the store is a real S3 API."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from misbehaving_store import MisbehavingStore
from python_paths import python_path
from registered_versions import add
from report_datasets import dog, write_dataset

from engine.artifacts import Store
from engine.box_tables import box_database, naming_damage, stored_tables
from engine.dataset.shard_reader import ShardReader
from engine.registry import Registry
from engine.sources.last_opened import LastOpened
from engine.sources.places import Files
from engine.storage.compare_and_swap import Found, create, read_found, swap


def test_a_file_that_is_not_there_is_named(s3_bucket: str) -> None:
    for read in (lambda: Store(f"{s3_bucket}/a").read("b.json"), lambda: Store("s3://nobody/a").open("b.json")):
        with pytest.raises(FileNotFoundError) as raised:
            read()
        assert str(raised.value.filename).endswith("/a/b.json")


def test_who_has_no_credentials_hears_where_they_are_wanted(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    Store(s3_bucket).write("web/0.tar", b"")
    files = Files(f"{s3_bucket}/web", (".tar",))  # as a driver lists them that has some
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    s3fs.S3FileSystem.clear_instance_cache()
    store = Store(f"{s3_bucket}/a")
    for work in (lambda: store.write("b", b""), lambda: store.read("b"), lambda: store.names("")):
        with pytest.raises(RuntimeError, match=r"s3://bucket/a.* give credentials .* where each node is started"):
            work()
    opened = LastOpened(files, files.open_whole)
    with pytest.raises(RuntimeError, match=r"s3://bucket/web/0.tar cannot be read .* give credentials"):
        pickle.loads(pickle.dumps(opened)).open("0.tar")


@pytest.mark.parametrize(
    ("fault", "of_writing", "of_looking"),
    [
        ("expired", "give credentials that allow it and have not expired", "see that the credentials have not expired"),
        ("skewed", "set this machine's clock, and run", "give credentials that allow it"),  # a HEAD tells no reason
    ],
)
def test_a_refusal_is_told_with_its_reason_and_what_to_do(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch, fault: str, of_writing: str, of_looking: str
) -> None:
    with _misbehaving(monkeypatch) as proxy:
        store = Store(f"{s3_bucket}/a")
        store.write("b", b"")
        proxy.misbehave(fault)
        for write in (
            lambda: store.write("b", b""),
            lambda: create(store, "c", b"1"),
            lambda: swap(store, "b", Found(b"", "tag"), b"1"),
            lambda: store.locked().__enter__(),
        ):
            with pytest.raises(RuntimeError, match=rf"s3://bucket/a/\S+ cannot be written .*{of_writing}"):
                write()
        for look in (lambda: store.exists("b"), lambda: read_found(store, "b")):
            with pytest.raises(RuntimeError, match=rf"s3://bucket/a/b cannot be .*{of_looking}"):
                look()


def test_a_file_of_a_version_that_the_store_stops_giving_is_named(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _misbehaving(monkeypatch) as proxy:
        registry, opened = Registry(f"{s3_bucket}/models"), Store.open
        add(registry, "one")

        def expiring(store: Store, name: str) -> BinaryIO:
            file = opened(store, name)
            if name.startswith("versions/"):
                proxy.misbehave("expired")
            return file

        monkeypatch.setattr(Store, "open", expiring)
        with pytest.raises(RuntimeError, match=r"s3://bucket/models/versions/000001/\S+ cannot be read .* not expired"):
            registry.check(1)


def test_a_shard_that_the_store_stops_giving_is_named(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dogs = write_dataset(tmp_path / "dogs", [dog(0), dog(1)])
    with _misbehaving(monkeypatch) as proxy:
        store = Store(f"{s3_bucket}/dogs")
        for path in (path for path in dogs.rglob("*") if path.is_file()):
            store.write(str(path.relative_to(dogs)), path.read_bytes())
        with ShardReader(store, 0) as first:
            reader = ShardReader(store, 0, first.index)
        proxy.misbehave("expired")
        with reader, pytest.raises(RuntimeError, match=r"s3://bucket/dogs/shards/000000.tar cannot be read .* expired"):
            reader[1]


def test_what_is_refused_is_no_empty_file(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with _misbehaving(monkeypatch) as proxy:
        store = Store(f"{s3_bucket}/a")
        store.write("b", b"")
        assert store.read("b") == b""
        proxy.misbehave("bad token")
        with pytest.raises(RuntimeError, match=r"s3://bucket/a/b cannot be read"):
            store.read("b")


def test_of_a_store_without_conditional_puts_it_is_told_that_they_are_wanted(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _misbehaving(monkeypatch) as proxy:
        store = Store(f"{s3_bucket}/a")
        proxy.misbehave("unconditional")
        store.write("b", b"")
        for lock in (lambda: create(store, "c", b"1"), lambda: store.locked().__enter__()):
            with pytest.raises(RuntimeError, match="use a store with conditional puts"):
                lock()


def test_a_table_that_the_store_does_not_give_is_not_called_damaged(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _misbehaving(monkeypatch) as proxy, box_database() as (connection, _):
        tables = stored_tables(connection, Store(f"{s3_bucket}/a"), [0])
        proxy.misbehave("skewed")
        expected = r"cannot be read \(PermissionError: Forbidden\); see that the store"
        with pytest.raises(RuntimeError, match=expected), naming_damage():
            connection.read_parquet(tables)


@contextmanager
def _misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[MisbehavingStore]:
    """A proxy before the store, which every client of this process now speaks to."""
    import s3fs

    with MisbehavingStore(os.environ["AWS_ENDPOINT_URL"]).running() as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3fs.S3FileSystem.clear_instance_cache()
        yield proxy


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("s4://bucket/a", "s4://bucket/a is no address of a folder or of an object store"),
        ("oci://bucket/a", "oci://bucket/a needs a package that is not installed here"),
    ],
)
def test_an_address_that_nothing_here_knows_is_told_before_any_work(root: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Store(root)


def test_a_place_that_takes_no_file_is_told_beforehand(s3_bucket: str, tmp_path: Path) -> None:
    for root in (f"{s3_bucket}/a", str(tmp_path / "a")):
        Store(root).check_writable()
        assert Store(root).names("") == []
    assert list((tmp_path / "a").iterdir()) == []
    with pytest.raises(ValueError, match="make the bucket, or give another address"):
        Store("s3://nobody/a").check_writable()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Store(tmp_path / "file" / "a").check_writable()


def test_of_what_goes_to_an_object_store_the_disk_of_temporary_files_is_what_is_full(tmp_path: Path) -> None:
    """A file may have no more bytes here, as on a full disk."""
    program = """
import resource
from engine.artifacts import Store
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Store("memory://bucket").write("a", b"x" * 100_000)
except RuntimeError as error:
    print(error)
"""
    environment = {"TMPDIR": str(tmp_path), **python_path(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert f"no room in {tmp_path} for memory://bucket/a" in done.stdout, done.stderr
    assert "TMPDIR" in done.stdout
