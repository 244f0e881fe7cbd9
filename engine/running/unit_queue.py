"""The units that wait, and which of them a reader is given next: one of the file that it has open, if there is one.

In: unit references. Out: each of them once. A reader keeps the file of its last unit open, which of an object store or
of the web is a copy of it: where units of one file went to whoever is free, every reader would fetch every file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable

from schemas.records import UnitRef


class UnitQueue:
    """Units by their files. One reader alone is given them in their order."""

    def __init__(self, refs: Iterable[UnitRef]) -> None:
        self._files: dict[str, deque[tuple[UnitRef, int]]] = {}
        for ref in refs:
            self._files.setdefault(ref.uri, deque()).append((ref, 0))
        self._unread = deque(self._files)
        self._read_by: dict[Hashable, str] = {}

    def __bool__(self) -> bool:
        return bool(self._files)

    def clear(self) -> None:
        """No unit waits any more."""
        self._files.clear()

    def put_back(self, ref: UnitRef, tries: int) -> None:
        """A unit that was taken and is to be begun again, before the others of its file."""
        self._files.setdefault(ref.uri, deque()).appendleft((ref, tries))

    def take(self, reader: Hashable) -> tuple[UnitRef, int]:
        """The next unit for a reader, and how often it has been tried: of its file, of the first that nobody has read,
        or, where there is none, of the one with most units left."""
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
