"""Files that are either whole or absent: a store (folder or object-store prefix), atomic writes, digests.

In: bytes and JSON documents. Out: files under one root. In a folder each is written to a temporary name and then
moved, in an object store (``s3://…``, by fsspec) it is put in one request, or in parts that become an object together:
a crash at any moment leaves no half-written file under a final name.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import fsspec

from engine.leases import Lease

TEMPORARY_PREFIX = ".writing-"
LOCK = f"{TEMPORARY_PREFIX}lock"  # of an object store; listed no more than what is being written
COPY_BYTES = 1 << 20
READS_AT_ONCE = 32  # of small files of an object store
CLIENTS = ("botocore", "aiobotocore", "aiohttp")  # whose errors are no OSError
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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
        # Nothing listed is remembered: other processes write here too.
        self._files, self._path = fsspec.core.url_to_fs(self.root, use_listings_cache=False)
        self.is_local = "file" in _protocols(self._files)
        self._lease: Lease | None = None

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lease": None}  # it is held by one process

    def path(self, name: str) -> str:
        """The full path of ``name``; refuses a name that leads out of the store."""
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"{name!r} leads out of {self.root}; names inside a store are relative, without '..'")
        return f"{self._path}/{name}"

    def exists(self, name: str) -> bool:
        with self._naming_faults(name, "looked for"):
            return bool(self._files.exists(self.path(name)))

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in ``folder``, sorted, without temporary ones; none where there is no folder."""
        where = self.path(folder)
        with self._naming_faults(folder, "listed"):
            if not self._files.isdir(where):
                return []
            self._files.invalidate_cache(where)
            found = [PurePosixPath(entry).name for entry in self._files.ls(where, detail=False)]
        return sorted(name for name in found if not name.startswith(TEMPORARY_PREFIX))

    def open(self, name: str) -> BinaryIO:
        """The file opened for reading; FileNotFoundError names the whole path."""
        with self._naming_faults(name, "read"):
            return cast(BinaryIO, self._files.open(self.path(name), "rb"))

    def read(self, name: str, max_bytes: int = 100_000_000) -> bytes:
        """The content of a small file; ValueError where it is larger than ``max_bytes``."""
        content = self._read_local(name, max_bytes) if self.is_local else self._read_remote(name, max_bytes)
        if len(content) > max_bytes:
            raise ValueError(f"{self.root}/{name} has more than {max_bytes} bytes, which a file of its kind never has")
        return content

    def _read_remote(self, name: str, max_bytes: int) -> bytes:
        with self._naming_faults(name, "read"), self.open(name) as file:
            return file.read(max_bytes + 1)

    def _read_local(self, name: str, max_bytes: int) -> bytes:
        """Without fsspec, and without room made for ``max_bytes``: both count where 100,000 small files are read."""
        with open(self.path(name), "rb") as file:
            return file.read() if os.fstat(file.fileno()).st_size <= max_bytes else file.read(max_bytes + 1)

    def size(self, name: str) -> int | None:
        """Size of a file in bytes, None where there is none."""
        try:
            with self._naming_faults(name, "looked for"):
                return int(self._files.info(self.path(name))["size"])
        except FileNotFoundError:
            return None

    def sizes(self, folder: str) -> dict[str, int]:
        """Sizes in bytes of the files directly in ``folder`` by name, without temporary ones, in one listing."""
        where = self.path(folder)
        if self.is_local:
            if not os.path.isdir(where):
                return {}
            with os.scandir(where) as entries:  # fsspec asks more of each file than is wanted of 100,000
                found = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        else:
            with self._naming_faults(folder, "listed"):
                listed = self._files.ls(where, detail=True) if self._files.isdir(where) else []
            found = {PurePosixPath(one["name"]).name: int(one["size"] or 0) for one in listed}
        return {name: size for name, size in found.items() if not name.startswith(TEMPORARY_PREFIX)}

    def read_many(self, names: Sequence[str], max_bytes: int = 100_000_000) -> Iterator[bytes]:
        """The contents of small files in order; of an object store many at once. Errors as :meth:`read`."""
        if self.is_local:
            yield from (self.read(name, max_bytes) for name in names)
            return
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            for start in range(0, len(names), 4 * READS_AT_ONCE):  # in parts: not all of them lie in memory
                yield from pool.map(lambda name: self.read(name, max_bytes), names[start : start + 4 * READS_AT_ONCE])

    def digest(self, name: str) -> tuple[str, int]:
        """SHA-256 and size of a file."""
        with self._naming_faults(name, "read"), self.open(name) as file:
            return digest_file(file)

    def delete(self, name: str) -> None:
        if self.exists(name):
            with self._naming_faults(name, "deleted"):
                self._files.rm(self.path(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole."""
        with self.writing(name) as file:
            file.write(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A binary file to write and seek in, which takes the name ``name`` when the block ends without an error.

        RuntimeError where the disk is full, where the object store does not answer, or where its lock has been lost.
        """
        if self._lease is not None and self._lease.lost:
            raise RuntimeError(_taken_over(self.root))
        final = self.path(name)
        with (
            self._naming_faults(name, "written"),
            self._written_locally(final) if self.is_local else self._put(final) as file,
        ):
            yield file

    @contextmanager
    def _written_locally(self, final: str) -> Iterator[BinaryIO]:
        folder = Path(final).parent
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=folder)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield cast(BinaryIO, file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, final)
            _fsync_folder(folder)
        finally:
            Path(temporary).unlink(missing_ok=True)

    @contextmanager
    def _put(self, final: str) -> Iterator[BinaryIO]:
        """Through a file without a name, which ends with the process. Looked at afterwards: it must be there whole."""
        with tempfile.TemporaryFile() as file:
            yield cast(BinaryIO, file)
            size = file.seek(0, os.SEEK_END)
            file.flush()
            self._files.put_file(f"/dev/fd/{file.fileno()}", final)
            stored = self._files.info(final)["size"]
        if stored != size:
            raise OSError(f"{stored} of {size} bytes were stored")

    @contextmanager
    def _naming_faults(self, name: str, done: str) -> Iterator[None]:
        """A full disk, and whatever a store's client raises, as a RuntimeError that says where and what to do."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                what = f"there is no room for {self.root}/{name} ({error.strerror}); make some"
            elif not self.is_local and (isinstance(error, OSError) or type(error).__module__.startswith(CLIENTS)):
                fault = f"{type(error).__name__}: {error}"
                what = f"{self.root}/{name} cannot be {done} ({fault}); see that the store answers"
            else:
                raise
            raise RuntimeError(f"{what}, and run the same command again: it goes on after what is committed") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other jobs from working on the store; ValueError where one already does.

        A folder's lock is the kernel's and on the folder itself: it leaves no file and ends with the process, however
        it ends. An object store has a lock object instead (:mod:`engine.leases`); RuntimeError where it was taken over.
        """
        if self.is_local:
            with self._folder_locked():
                yield
            return
        lease = Lease(self._files, self.path(LOCK), self.root)
        with self._naming_faults(LOCK, "written"):
            lease.take()
        self._lease = lease
        try:
            yield
        finally:
            self._lease = None
            lease.give_back()
        if lease.lost:
            raise RuntimeError(_taken_over(self.root))

    @contextmanager
    def _folder_locked(self) -> Iterator[None]:
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


def _fsync_folder(folder: Path) -> None:
    """So that the names in it outlive a crash of the machine."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _taken_over(root: str) -> str:
    return (
        f"{root} was taken over by another job, since this one gave no sign of life; what it committed is whole. "
        "Run the same command again when that job is done"
    )


def _protocols(files: Any) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
