"""The lock of a folder: one job at a time, and none of the workers that a killed job has left behind.

In: a folder. Out: one holder, and a fence: an empty file of that holder alone, which its workers pass to commit.

The lock is the kernel's, on the folder itself: it leaves no file and ends with its process, however that ends. Workers
of a killed driver live a few seconds longer, and could still commit while the next job works. So each job puts up a
fence, which a commit holds shared while it writes; the next job takes down what fences it finds, each after the commits
that hold it, and before it looks at what is there. From then on the workers of the old job are refused.

A network file system shares the locks of files between machines, and not those of folders (Linux' fs/nfs/dir.c has
none). So the job holds its own fence too, and one on another machine cannot take it down.
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

FENCE_PREFIX = f"{TEMPORARY_PREFIX}by-"  # listed no more than what is being written
COMMIT_S = 60.0  # how long the commits of a killed job are waited for
LOOK_AGAIN_S = 0.02


@contextmanager
def folder_locked(folder: Path, shown: str) -> Iterator[Path]:
    """Hold the folder, made where there is none; gives the fence. ValueError where another job holds it."""
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
            for other in _fences(folder) - {fence}:  # of a machine that has looked at the same moment
                _take_down(other, shown, 0.0)
            yield fence
    finally:
        os.close(held)


@contextmanager
def fence_passed(fence: Path, shown: str) -> Iterator[None]:
    """Commit inside the block; RuntimeError where the job of this fence has ended."""
    try:
        held = os.open(fence, os.O_RDWR)  # a network file system locks only what may be written
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
        if os.fstat(held).st_nlink == 0:  # taken down before it was held
            raise ValueError(_held_elsewhere(shown))
        yield fence
    finally:
        os.close(held)  # first: NFS keeps a file that is open under another name
        fence.unlink(missing_ok=True)


def _take_down(fence: Path, shown: str, wait_s: float) -> None:
    """Remove the fence of a job that is gone, once none of its workers is committing. ValueError where it is held for
    longer than ``wait_s``."""
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
