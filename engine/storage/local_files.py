"""Files of a folder that are whole or absent, whatever becomes of the process or of the machine.

In: what is written, under a temporary name. Out: the file under its own name, in place of the one that was there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

TEMPORARY_PREFIX = ".writing-"


@contextmanager
def written_whole(final: Path, *, lasting: bool) -> Iterator[BinaryIO]:
    """A file to write and seek in, which becomes ``final`` when the block ends without an error.

    Its content is on the disk before it has its name; where it is ``lasting``, so is the name at the end.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=final.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, final)
        if lasting:
            fsync_folder(final.parent)
    finally:
        Path(temporary).unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """So that the names in it outlive a crash of the machine."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
