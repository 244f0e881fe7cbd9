"""A folder that is there as a whole or not at all: written as a draft beside its place, flushed, then swapped in.

In: a name. Out: an empty draft to fill with files; what had the name stays until the draft takes it, and on an error.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """The draft of ``folder``, which has its name when the block has ended without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.draft-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        _to_disk(draft)
        _move_into_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _remove_leftovers(folder)


def _to_disk(folder: Path) -> None:
    """Contents are on the disk before the folder has its name: a power cut would leave files of the right name and no
    content."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _remove_leftovers(folder: Path) -> None:
    """What saves that were killed left beside a folder, each as large as the model."""
    for kind in ("draft", "old"):
        for leftover in folder.parent.glob(f".{glob.escape(folder.name)}.{kind}-*"):
            process = leftover.name.rpartition("-")[2]
            if process.isdecimal() and not Path("/proc", process).exists():
                shutil.rmtree(leftover, ignore_errors=True)


def _move_into_place(draft: Path, folder: Path) -> None:
    """Swap the finished draft for whatever has its name."""
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
