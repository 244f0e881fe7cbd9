"""Files of a folder that are whole or absent, whatever becomes of the process or of the machine.

In: what is written, under a temporary name. Out: the file under its own name, in place of the one that was there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

TEMPORARY_PREFIX = ".writing-"


@contextmanager
def written_whole(final: Path, *, lasting: bool) -> Iterator[BinaryIO]:
    """A file to write and seek in, which becomes ``final`` when the block ends without an error.

    Its content is on the disk before it has its name; where it is ``lasting``, so is the name at the end. A name that
    another file had is always lasting: who finds the other one again could not tell it from this.
    """
    make_folder(final.parent)
    handle, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=final.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fchmod(handle, 0o644)
            os.fsync(handle)
        lasting = lasting or final.exists()
        os.replace(temporary, final)
        if lasting:
            fsync_folder(final.parent)
    finally:
        Path(temporary).unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """The folder, and those above it that are missing, whose names outlive a crash of the machine too."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        with suppress(PermissionError):  # of a folder that may be written and not be read
            fsync_folder(one.parent)


def fsync_folder(folder: Path) -> None:
    """So that the names in it outlive a crash of the machine."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
