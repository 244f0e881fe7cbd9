"""A file for Arrow that remembers whether a read failed: Arrow raises OSError for failed reads and for damaged data
alike, and only damage may end in rejects.

In: an open file. Out: the same file, with the methods that Arrow needs.
"""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa

DAMAGE = (pa.ArrowException, OSError)
"""The errors that Arrow raises for data that it cannot decode."""


class WatchedFile:
    """An open file; ``failed`` is True once a read has raised."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failed = False
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except Exception:
            self.failed = True
            raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""
