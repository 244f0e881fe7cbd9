"""The queue of units: a reader is given, if possible, another unit of the file that it has open.

In: unit references. Out: each of them once. A reader keeps the file of its last unit open; for a file of an object
store or of the web that is a copy. If any free reader got the next unit, every reader would fetch every file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable

from schemas.records import UnitRef


class UnitQueue:
    """The waiting units, by their files. A single reader is given them in their order."""

    def __init__(self, refs: Iterable[UnitRef]) -> None:
        self._files: dict[str, deque[tuple[UnitRef, int]]] = {}
        for ref in refs:
            self._files.setdefault(ref.uri, deque()).append((ref, 0))
        self._unread = deque(self._files)
        self._read_by: dict[Hashable, str] = {}

    def __bool__(self) -> bool:
        return bool(self._files)

    def clear(self) -> None:
        """Remove all units."""
        self._files.clear()

    def put_back(self, ref: UnitRef, tries: int) -> None:
        """Return a unit that was taken, to be taken again before the others of its file."""
        self._files.setdefault(ref.uri, deque()).appendleft((ref, tries))

    def take(self, reader: Hashable) -> tuple[UnitRef, int]:
        """The next unit for a reader, and how often it has been tried: from the reader's file, else from the first file
        that nobody has read, else from the one with most units left."""
        uri = self._read_by.get(reader)
        if uri not in self._files:
            uri = self._read_by[reader] = self._next_file()
        units = self._files[uri]
        taken = units.popleft()
        if not units:
            del self._files[uri]
        return taken

    def _next_file(self) -> str:
        while self._unread:
            uri = self._unread.popleft()
            if uri in self._files:
                return uri
        return max(self._files, key=lambda uri: len(self._files[uri]))
