"""Workers that outlive their job: what they commit is seen by the next job, or refused, and never stands beside it."""

from __future__ import annotations

import base64
import fcntl
import os
import pickle
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import LOCK, Store
from engine.shards import committed_units, read_manifest, shard_name, write_shard
from engine.storage import folder_lock
from schemas.records import Reject, UnitRef
from schemas.shards import ShardManifest

REF = UnitRef(0, "0.tar", 0, 1)
DRIVER = """
import base64, pickle, sys
from engine.artifacts import Store
store = Store(sys.argv[1])
with store.locked():
    print(base64.b64encode(pickle.dumps(store)).decode(), flush=True)
    sys.stdin.read()
"""


def commit(store: Store, work: str = "w", message: str = "") -> ShardManifest:
    return write_shard(store, REF, [], [Reject("k", "read", "why", message)], work_digest=work, stages=[])


def orphan_of_a_killed_driver(root: str) -> Store:
    """The store as a worker has it, whose driver held the lock and got SIGKILL."""
    command = [sys.executable, "-c", DRIVER, root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ}) as driver:
        assert driver.stdout is not None
        store: Store = pickle.loads(base64.b64decode(driver.stdout.readline()))
        driver.kill()
    return store


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "out") if request.param == "folder" else request.getfixturevalue("s3_bucket") + "/out"


def test_an_orphan_commits_before_the_next_job_begins_and_is_refused_from_then_on(root: str) -> None:
    orphan, store = orphan_of_a_killed_driver(root), Store(root)
    first = commit(orphan)
    assert committed_units(store) == [0]
    with store.locked():
        with pytest.raises(RuntimeError, match=r"no longer holds|taken over by another job"):
            commit(orphan, "other work")
        assert read_manifest(store, 0) == first
        theirs = commit(pickle.loads(pickle.dumps(store)), "other work")
    with pytest.raises(RuntimeError, match=r"no longer holds|taken over by another job"):
        commit(orphan)
    assert read_manifest(store, 0) == theirs
    assert not store.exists(LOCK)
    assert not list(Path(root).glob(".*"))


def test_the_next_job_waits_for_a_commit_in_flight(tmp_path: Path) -> None:
    orphan, store = orphan_of_a_killed_driver(str(tmp_path / "out")), Store(tmp_path / "out")
    inside, order = threading.Event(), []

    def slowly() -> None:
        with orphan.committing():
            inside.set()
            time.sleep(0.3)
            order.append("committed")

    thread = threading.Thread(target=slowly)
    thread.start()
    inside.wait()
    with store.locked():
        order.append("the next job began")
    thread.join()
    assert order == ["committed", "the next job began"]


def test_a_worker_that_opens_the_fence_just_before_it_is_taken_down_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan, opened, refused = orphan_of_a_killed_driver(str(tmp_path / "out")), threading.Event(), threading.Event()
    (fence,) = (tmp_path / "out").glob(f"{folder_lock.FENCE_PREFIX}*")
    flock = fcntl.flock

    def telling(held: Any, operation: int) -> None:
        if operation == fcntl.LOCK_SH:
            opened.set()
        flock(held, operation)

    def commit_late() -> None:
        try:
            with orphan.committing():
                pass
        except RuntimeError:
            refused.set()

    thread = threading.Thread(target=commit_late)
    with fence.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as the next job does that takes it down
        monkeypatch.setattr(fcntl, "flock", telling)
        thread.start()
        opened.wait()
        fence.unlink()
    thread.join()
    assert refused.is_set()


def test_a_commit_that_never_ends_is_named_instead_of_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "COMMIT_S", 0.1)
    orphan, store = orphan_of_a_killed_driver(str(tmp_path / "out")), Store(tmp_path / "out")
    refused = pytest.raises(ValueError, match="or by a worker of one that has ended")
    with orphan.committing(), refused, store.locked():
        pass
    with store.locked():
        assert os.listdir(tmp_path / "out") == [store._fence.name]
    assert os.listdir(tmp_path / "out") == []


@pytest.fixture
def network_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder as two machines see it through NFS: locks of files are shared, those of folders are not."""
    flock = fcntl.flock

    def shared_of_files(held: int, operation: int) -> None:
        if not stat.S_ISDIR(os.fstat(held).st_mode):
            flock(held, operation)

    monkeypatch.setattr(fcntl, "flock", shared_of_files)
    monkeypatch.setattr(folder_lock, "COMMIT_S", 0.1)
    return str(tmp_path / "out")


def test_a_job_on_another_machine_that_shares_the_folder_is_refused(network_folder: str) -> None:
    store = Store(network_folder)
    with store.locked():
        with pytest.raises(ValueError, match="by a job on another machine"), Store(network_folder).locked():
            pass
        theirs = commit(pickle.loads(pickle.dumps(store)))
    with Store(network_folder).locked():
        assert read_manifest(store, 0) == theirs
    assert not list(Path(network_folder).glob(".*"))


def test_of_two_machines_that_look_at_the_same_moment_not_both_hold_the_folder(
    network_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_up = folder_lock._fence

    @contextmanager
    def while_another_looks(folder: Path, shown: str) -> Iterator[Path]:
        with put_up(folder, shown), put_up(folder, shown) as fence:
            yield fence

    monkeypatch.setattr(folder_lock, "_fence", while_another_looks)
    with pytest.raises(ValueError, match="by a job on another machine"), Store(network_folder).locked():
        pass
    assert not list(Path(network_folder).glob(".*"))


def test_a_fence_that_another_machine_took_down_before_it_was_held_is_none(
    network_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = fcntl.flock

    def too_late(held: int, operation: int) -> None:
        if operation == fcntl.LOCK_SH:
            next(Path(network_folder).glob(f"{folder_lock.FENCE_PREFIX}*")).unlink()
        shared(held, operation)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with pytest.raises(ValueError, match="by a job on another machine"), Store(network_folder).locked():
        pass


def test_a_unit_that_the_same_work_has_committed_stays_and_its_manifest_is_the_answer(root: str) -> None:
    store = Store(root)
    with store.locked():
        first = commit(store, message="first")
        shard = store.digest(shard_name(0))
        assert commit(store, message="second") == first
        assert store.digest(shard_name(0)) == shard
        store.write(shard_name(0), b"damaged")
        assert commit(store, message="third") == read_manifest(store, 0) != first
        assert store.digest(shard_name(0)) == shard
        other = commit(store, "other work")
        assert read_manifest(store, 0) == other
    assert not Store(root).exists(LOCK)
