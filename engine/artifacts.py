"""Files that are either whole or absent: a store (folder or object-store prefix), atomic writes, digests.

In: bytes and JSON documents. Out: files under one root, each written to a temporary name and then moved, so that a
crash at any moment leaves no half-written file under a final name. Local folders and fsspec prefixes (``s3://…``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import fsspec

TEMPORARY_PREFIX = ".writing-"
COPY_BYTES = 1 << 20


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, so that equal values have equal digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_file(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of an open binary file, read from where it stands."""
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(COPY_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


class Store:
    """A folder, or a prefix of an object store, that artefacts are read from and written to whole."""

    def __init__(self, root: str | Path) -> None:
        self.root = str(root).rstrip("/") or "/"
        self._files, self._path = fsspec.core.url_to_fs(self.root)
        self.is_local = "file" in _protocols(self._files)

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    def path(self, name: str) -> str:
        """The full path of ``name``; refuses a name that leads out of the store."""
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts:
            raise ValueError(f"{name!r} leads out of {self.root}; names inside a store are relative, without '..'")
        return f"{self._path}/{name}"

    def exists(self, name: str) -> bool:
        return bool(self._files.exists(self.path(name)))

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in ``folder``, sorted, without temporary ones; none where there is no folder."""
        where = self.path(folder)
        if not self._files.isdir(where):
            return []
        self._files.invalidate_cache(where)
        found = [PurePosixPath(entry).name for entry in self._files.ls(where, detail=False)]
        return sorted(name for name in found if not name.startswith(TEMPORARY_PREFIX))

    def open(self, name: str) -> BinaryIO:
        """The file opened for reading; FileNotFoundError names the whole path."""
        return cast(BinaryIO, self._files.open(self.path(name), "rb"))

    def read(self, name: str, max_bytes: int = 100_000_000) -> bytes:
        """The content of a small file; ValueError where it is larger than ``max_bytes``."""
        with self.open(name) as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise ValueError(f"{self.root}/{name} has more than {max_bytes} bytes, which a file of its kind never has")
        return content

    def size(self, name: str) -> int | None:
        """Size of a file in bytes, None where there is none."""
        try:
            return int(self._files.info(self.path(name))["size"])
        except FileNotFoundError:
            return None

    def digest(self, name: str) -> tuple[str, int]:
        """SHA-256 and size of a file."""
        with self.open(name) as file:
            return digest_file(file)

    def delete(self, name: str) -> None:
        if self.exists(name):
            self._files.rm(self.path(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole."""
        with self.writing(name) as file:
            file.write(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A binary file to write and seek in, which takes the name ``name`` when the block ends without an error."""
        final = self.path(name)
        if self.is_local:
            Path(final).parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=Path(final).parent if self.is_local else None)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield cast(BinaryIO, file)
                file.flush()
                os.fsync(file.fileno())
            self._publish(temporary, final)
        finally:
            Path(temporary).unlink(missing_ok=True)

    def _publish(self, temporary: str, final: str) -> None:
        if not self.is_local:
            self._files.put_file(temporary, final)
            return
        os.chmod(temporary, 0o644)
        os.replace(temporary, final)
        folder = os.open(Path(final).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this machine from working on the store; ValueError where one already does.

        The lock is the kernel's and on the folder itself: it leaves no file and ends with the process, however it
        ends. An object store has no such lock; there one job at a time is the caller's duty.
        """
        if not self.is_local:
            yield
            return
        Path(self._path).mkdir(parents=True, exist_ok=True)
        folder = os.open(self._path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{self.root} is being written by another job; wait for it, or stop it") from None
            yield
        finally:
            os.close(folder)

    def delete_temporary_files(self, folder: str) -> int:
        """Remove what a killed process left behind in ``folder``; returns how many. Only where nobody writes there."""
        where = Path(self.path(folder))
        if not self.is_local or not where.is_dir():
            return 0
        leftovers = list(where.glob(f"{TEMPORARY_PREFIX}*"))
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        return len(leftovers)


def _protocols(files: Any) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
