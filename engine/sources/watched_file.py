"""A file for Arrow to read, which remembers that reading failed: Arrow raises OSError for that and for damaged data
alike, and only damage may end in rejects.

In: an open file. Out: the same, as Arrow wants it.
"""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa

DAMAGE = (pa.ArrowException, OSError)
"""What Arrow raises over what it cannot decode."""


class WatchedFile:
    """``failed`` once the file could not be read."""

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
        """The file is closed by whoever opened it."""
