"""Keeps the file that was read last open: a process usually reads several units of one file before the next.

In: the files of a source, and how to open one. Out: the open file. Errors of an object store name the file, since the
source may have been listed on a machine whose credentials this one lacks.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, BinaryIO

from engine.sources.places import Files, SourceFile
from engine.storage.faults import naming_faults


class LastOpened:
    """The file opened last. Picklable: the copy has no open file. Garbage collection closes the file."""

    def __init__(self, files: Files, open_file: Callable[[SourceFile], BinaryIO]) -> None:
        self._files, self._open = files, open_file
        self._name: str | None = None
        self._file: BinaryIO | None = None
        self._closing: Callable[[], object] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_name": None, "_file": None, "_closing": None}

    def open(self, name: str) -> BinaryIO:
        """The open file, at any position. RuntimeError where an object store does not give it."""
        if self._file is None or self._name != name:
            self.close()
            found = self._files[name]
            with naming_faults(self._files.system.unstrip_protocol(found.path), "read", local=self._files.is_local):
                self._file, self._name = self._open(found), name
            self._closing = weakref.finalize(self, self._file.close)
        return self._file

    def close(self) -> None:
        """Close the file; the next ``open`` opens it again."""
        if self._closing is not None:
            self._closing()
        self._name = self._file = self._closing = None


def changed(name: str) -> RuntimeError:
    """The error to raise where a file has changed since its rows were cut into units."""
    return RuntimeError(f"{name} changed while the job ran; leave the source alone and run it again")
