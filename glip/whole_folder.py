"""A folder that is there as a whole or not at all: written as a draft beside its place, flushed, then swapped in.

In: the folder's path. Out: an empty draft to fill with files. A folder that is already there stays until the finished
draft takes its place, and stays if filling the draft fails.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Yield the draft of ``folder``; the draft becomes ``folder`` when the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = _beside(folder, "draft")
    draft.mkdir()
    try:
        with _held(draft):
            yield draft
            _to_disk(draft)
            _move_into_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _remove_leftovers(folder)


def _beside(folder: Path, kind: str) -> Path:
    return folder.with_name(f".{folder.name}.{kind}-{uuid.uuid4().hex}")


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Lock a folder; the kernel unlocks it however the process ends. BlockingIOError where another process holds the
    lock, also one of another container."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


def _to_disk(folder: Path) -> None:
    """Flush the files and the folder before it gets its name: otherwise a power cut could leave the right names with
    empty files."""
    for path in (*folder.iterdir(), folder):
        _fsync(path)


def _fsync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _remove_leftovers(folder: Path) -> None:
    """Remove drafts and replaced folders of saves that were killed; each is as large as the model."""
    for kind in ("draft", "old"):
        for leftover in folder.parent.glob(f".{glob.escape(folder.name)}.{kind}-*"):
            with suppress(OSError), _held(leftover):  # the draft of one that is alive stays
                shutil.rmtree(leftover, ignore_errors=True)


def _move_into_place(draft: Path, folder: Path) -> None:
    """Rename the draft to ``folder``, after moving a folder that is there out of the way."""
    old = _beside(folder, "old")
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    _fsync(folder.parent)  # before the old one goes: a power cut would bring its name back, and half of what is in it
    shutil.rmtree(old, ignore_errors=True)
