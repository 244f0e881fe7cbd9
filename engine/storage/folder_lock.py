"""The lock of a folder: it lets in one job at a time, and no workers that a killed job has left behind.

In: a folder. Out: one holder, and its fence: an empty file that its workers lock in order to commit.

The lock is the kernel's, on the folder itself: it leaves no file and ends with its process, however that ends. Workers
of a killed driver live a few seconds longer, and could still commit while the next job works. So each job creates a
fence, on which a commit holds a shared lock while it writes. The next job deletes the fences that it finds, each as
soon as no commit holds it, before it looks at the folder's content. From then on the old job's workers are refused.

A network file system shares locks of files between machines, but not locks of folders (Linux' fs/nfs/dir.c has none).
So the job itself locks its fence too, and a job on another machine cannot delete it.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.storage.local_files import TEMPORARY_PREFIX, make_folder

FENCE_PREFIX = f"{TEMPORARY_PREFIX}by-"  # hidden from listings like temporary files
COMMIT_S = 60.0  # the longest wait for the commits of a killed job
LOOK_AGAIN_S = 0.02


@contextmanager
def folder_locked(folder: Path, shown: str) -> Iterator[Path]:
    """Hold the lock of the folder, which is created if missing; yields the fence. ValueError where another job holds
    it."""
    make_folder(folder)
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{shown} is being written by another job; wait for it, or stop it") from None
        for left in _fences(folder):
            _take_down(left, shown, COMMIT_S)
        with _fence(folder, shown) as fence:
            for other in _fences(folder) - {fence}:  # of another machine's job that began at the same moment
                _take_down(other, shown, 0.0)
            yield fence
    finally:
        os.close(held)


@contextmanager
def fence_passed(fence: Path, shown: str) -> Iterator[None]:
    """A context for a commit. RuntimeError where the job of this fence no longer holds the folder."""
    try:
        held = os.open(fence, os.O_RDWR)  # a network file system locks only files that are open for writing
    except FileNotFoundError:
        raise RuntimeError(_refusal(shown)) from None
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        if os.fstat(held).st_nlink == 0:
            raise RuntimeError(_refusal(shown))
        yield
    finally:
        os.close(held)


def _fences(folder: Path) -> set[Path]:
    return set(folder.glob(f"{FENCE_PREFIX}*"))


@contextmanager
def _fence(folder: Path, shown: str) -> Iterator[Path]:
    fence = folder / f"{FENCE_PREFIX}{uuid.uuid4().hex}"
    held = os.open(fence, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        if os.fstat(held).st_nlink == 0:  # another job deleted it before it was locked
            raise ValueError(_held_elsewhere(shown))
        yield fence
    finally:
        os.close(held)  # before unlink: NFS renames a file that is still open instead of deleting it
        fence.unlink(missing_ok=True)


def _take_down(fence: Path, shown: str, wait_s: float) -> None:
    """Delete the fence of a job that has ended, as soon as none of its workers is committing. ValueError where it is
    held for longer than ``wait_s`` seconds."""
    try:
        held = os.open(fence, os.O_RDWR)
    except FileNotFoundError:  # its job has just ended
        return
    deadline = time.monotonic() + wait_s
    try:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise ValueError(_held_elsewhere(shown)) from None
            time.sleep(LOOK_AGAIN_S)
        fence.unlink(missing_ok=True)
    finally:
        os.close(held)


def _held_elsewhere(shown: str) -> str:
    return (
        f"{shown} is being written by a job on another machine, or by a worker of one that has ended; wait for it, or "
        "stop it"
    )


def _refusal(shown: str) -> str:
    return f"the job that this worker belongs to no longer holds {shown}; what it has not committed, the next one does"
