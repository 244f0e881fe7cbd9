"""One job at a time on an object store: the second is refused, a dead one's lock is taken over, no clock decides."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import time
from typing import Any

import fsspec
import pytest

from engine.artifacts import LOCK, Store
from engine.storage import leases
from engine.storage.leases import Lease

LEASE_S = 1.5


@pytest.fixture
def files(s3_bucket: str) -> Any:
    return fsspec.core.url_to_fs(s3_bucket, use_listings_cache=False)[0]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holders look as if they were processes of other machines."""
    monkeypatch.setattr(leases, "process_identity", lambda: None)


def lease(files: Any, lease_s: float = LEASE_S) -> Lease:
    return Lease(files, "bucket/out/lock", "s3://bucket/out", lease_s=lease_s)


class ByRenewals:
    """Time, for a job that watches the lock of another: it passes as that one renews, so that a busy machine is no
    silence of it."""

    def __init__(self, holder: Lease) -> None:
        self.holder, self.now = holder, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.renewals(1)
        self.now += seconds

    def renewals(self, count: int) -> None:
        """Wait until so many are in the store; one is counted as it begins, hence the one more."""
        begun, until = self.holder._renewals + count + 1, time.monotonic() + 100
        while self.holder._renewals < begun:
            assert time.monotonic() < until, "the lock is not renewed"
            time.sleep(0.01)


@pytest.mark.usefixtures("elsewhere")
def test_a_job_on_another_machine_that_is_alive_keeps_the_lock_however_long_it_works(
    files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lease(files, lease_s=0.6)
    first.take()
    clock = ByRenewals(first)
    monkeypatch.setattr(leases, "time", clock)
    for _ in range(2):
        started = clock.now
        with pytest.raises(ValueError, match=r"s3://bucket/out is being written by another job \(on .*\); wait for it"):
            lease(files).take()
        assert clock.now - started < LEASE_S
        clock.renewals(6)  # as many as a lease is long
    first.give_back()
    assert not first.lost
    assert not files.exists("bucket/out/lock")


@pytest.mark.usefixtures("s3_bucket")
def test_a_bucket_that_does_not_exist_is_told_of_and_not_waited_for() -> None:
    for write in (Store("s3://nowhere/out").locked, lambda: Store("s3://nowhere/out").writing("dataset.json")):
        with pytest.raises(ValueError, match=r"s3://nowhere/out/.* cannot be written .*; make the bucket"), write():
            pass


@pytest.mark.usefixtures("elsewhere")
def test_the_lock_of_a_job_that_is_silent_is_taken_over_by_one_of_those_that_wait(files: Any) -> None:
    files.pipe_file("bucket/out/lock", json.dumps({"token": "of a dead job", "host": "x"}).encode())
    outcomes: list[str] = []

    def try_it(one: Lease) -> None:
        try:
            one.take()
            outcomes.append("held")
        except ValueError:
            outcomes.append("refused")

    waiting = [lease(files) for _ in range(3)]
    threads = [threading.Thread(target=try_it, args=(one,)) for one in waiting]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= LEASE_S
    assert sorted(outcomes) == ["held", "refused", "refused"]
    next(one for one in waiting if one._thread.ident).give_back()


class RivalIsFaster:
    """An object store in which another job takes a dead one's lock over a moment before this one does."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def pipe_file(self, path: str, content: bytes, **condition: Any) -> None:
        if "IfMatch" in condition:
            self._files.pipe_file(path, b'{"token": "of the rival"}')
        self._files.pipe_file(path, content, **condition)


def test_of_two_that_take_over_the_second_is_refused(files: Any) -> None:
    files.pipe_file("bucket/out/lock", b'{"token": "of a dead job"}')
    late = Lease(RivalIsFaster(files), "bucket/out/lock", "s3://bucket/out", lease_s=0.01)
    with pytest.raises(ValueError, match=r"being written by another job .* wait for it"):
        late.take()
    assert files.cat_file("bucket/out/lock") == b'{"token": "of the rival"}'


@pytest.mark.usefixtures("elsewhere")
def test_a_job_whose_lock_was_taken_over_knows_it_and_leaves_it_alone(files: Any) -> None:
    first = lease(files)
    first.take()
    files.pipe_file("bucket/out/lock", b'{"token": "another"}')
    deadline = time.monotonic() + 10
    while not first.lost and time.monotonic() < deadline:
        time.sleep(0.01)
    assert first.lost
    first.give_back()
    assert files.cat_file("bucket/out/lock") == b'{"token": "another"}'


@pytest.mark.skipif(leases.process_identity() is None, reason="needs Linux's /proc to tell processes apart")
def test_the_lock_of_a_killed_process_of_this_machine_is_taken_over_at_once(s3_bucket: str) -> None:
    code = (
        "import os, sys\nfrom engine.artifacts import Store\n"
        "with Store(sys.argv[1]).locked():\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, f"{s3_bucket}/out"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ})
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == b"held\n"
    store = Store(f"{s3_bucket}/out")
    started = time.monotonic()
    with pytest.raises(ValueError, match="being written by another job"), store.locked():
        pass
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with store.locked():
        assert store.names("") == []
    assert time.monotonic() - started < leases.LEASE_S / 2
    assert not store.exists(LOCK)


@pytest.mark.usefixtures("elsewhere")
def test_a_renewal_whose_answer_was_lost_is_no_loss(files: Any) -> None:
    first = lease(files)
    first.take()
    version = first._version
    first._version = '"of a renewal before"'
    deadline = time.monotonic() + 10
    while first._version in (version, '"of a renewal before"') and not first.lost and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not first.lost
    first.give_back()
    assert not files.exists("bucket/out/lock")


def test_a_store_whose_lock_was_lost_writes_no_more(s3_bucket: str) -> None:
    store = Store(f"{s3_bucket}/out")
    with pytest.raises(RuntimeError, match="taken over by another job"), store.locked():  # noqa: PT012
        store.write("a", b"1")
        assert pickle.loads(pickle.dumps(store)).read("a") == b"1"  # a worker's copy has no lock of its own
        store._files.pipe_file(store.path(LOCK), b"{}")
        assert store._lease is not None
        store._lease.lost = True
        store.write("b", b"2")
    assert store.names("") == ["a"]


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"[" * 9000, b"\xff", b'{"process": [1, 2, "../../x", 4]}', b"x" * 20_000]
)
def test_a_lock_that_holds_nonsense_is_one_of_a_silent_job(files: Any, content: bytes) -> None:
    files.pipe_file("bucket/out/lock", content)
    one = lease(files)
    one.take()
    one.give_back()
    assert not one.lost


def test_a_store_without_conditional_puts_refuses_and_says_what_to_do(tmp_path: Any) -> None:
    store = Store(f"memory://{tmp_path.name}")
    with store.locked():
        with pytest.raises(ValueError, match="being written by another job"), Store(store.root).locked():
            pass
        held = store.read(LOCK)
        store._files.pipe_file(store.path(LOCK), b"{}")
        other = Lease(store._files, store.path(LOCK), store.root, lease_s=0.01)
        with pytest.raises(ValueError, match="if that job is dead, delete"):
            other.take()
        store._files.pipe_file(store.path(LOCK), held)
    assert store.names("") == []
