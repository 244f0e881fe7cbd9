"""Files of a folder that are whole or absent, even if the process or the machine crashes.

In: content, written under a temporary name. Out: the file under its own name, in place of the previous one.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY_PREFIX = ".writing-"


@contextmanager
def written_whole(final: Path, *, lasting: bool) -> Iterator[BinaryIO]:
    """A file to write and seek in, which becomes ``final`` when the block ends without an error.

    It is as readable as the umask says. Its content is flushed to the disk before it gets its name. With ``lasting``,
    the name is flushed too; always if it replaces a file, since after a crash nobody could tell the old file from the
    new one.
    """
    make_folder(final.parent)
    # Not by tempfile, whose files are private and need a chmod, which not every file system allows.
    temporary = final.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        with temporary.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        lasting = lasting or final.exists()
        os.replace(temporary, final)
        if lasting:
            fsync_folder(final.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create the folder and its missing parents, and flush their names to the disk."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        with suppress(PermissionError):  # a folder may be writable and not readable
            fsync_folder(one.parent)


def fsync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, so that they survive a crash of the machine."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
