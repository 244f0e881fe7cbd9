"""Files that are either whole or absent: a store (folder or object-store prefix), atomic writes, digests.

In: bytes and JSON documents. Out: files under one root. In a folder each is written to a temporary name and then
moved, in an object store (``s3://…``, by fsspec) it is put in one request, or in parts that become an object together:
a crash at any moment leaves no half-written file under a final name.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from fsspec.implementations.local import LocalFileSystem
from pydantic import BaseModel

from engine.storage.digests import COPY_BYTES, canonical_json, digest_file, digest_of, document_bytes
from engine.storage.faults import answer_code, naming_faults
from engine.storage.file_systems import file_system_of
from engine.storage.folder_lock import FENCE_PREFIX, fence_passed, folder_locked
from engine.storage.leases import Lease, lease_holder, taken_over
from engine.storage.local_files import TEMPORARY_PREFIX, fsync_folder, written_whole
from engine.storage.many_at_once import many_at_once

__all__ = ["COPY_BYTES", "LOCK", "Store", "canonical_json", "digest_file", "digest_of", "document_bytes"]

LOCK = f"{TEMPORARY_PREFIX}lock"  # of an object store; listed no more than what is being written
PROBE = f"{TEMPORARY_PREFIX}probe"


class Store:
    """A folder, or a prefix of an object store, that artefacts are read from and written to whole."""

    def __init__(self, root: str | Path) -> None:
        self.root = str(root).rstrip("/") or "/"
        self._files, self._path = file_system_of(self.root)
        self.is_local = isinstance(self._files, LocalFileSystem)
        self._lease: Lease | None = None
        self._fence: Path | str | None = None  # of the job that has the store locked; its workers' copies know it too

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lease": None}  # it is held by one process

    @property
    def name(self) -> str:
        """The last part of the address, by which people know the store; also where the address is ``.`` or ``a/..``."""
        return posixpath.basename(os.path.normpath(self._path)) or self.root

    def path(self, name: str) -> str:
        """The full path of ``name``; refuses a name that leads out of the store."""
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"{name!r} leads out of {self.root}; names inside a store are relative, without '..'")
        return f"{self._path}/{name}"

    def exists(self, name: str) -> bool:
        with self._naming_faults(name, "looked for"):
            return bool(self._files.exists(self.path(name)))

    def names(self, folder: str) -> list[str]:
        """Names of what is directly in ``folder``, sorted; none where there is no folder. Names that begin with a dot
        are left out: temporary files, and files that a desktop puts there (``.DS_Store``)."""
        where, found = self.path(folder), list[str]()
        if not self.is_local:
            found = list(self._listed(folder))
        elif os.path.isdir(where):
            found = os.listdir(where)
        return sorted(name for name in found if not name.startswith("."))

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
        """Read in one request; an opened file would ask for its size first. S3 answers any range of an empty object
        with an error."""
        with self._naming_faults(name, "read"):
            try:
                return cast(bytes, self._files.cat_file(self.path(name), start=0, end=max_bytes + 1))
            except OSError as error:
                if answer_code(error) not in ("InvalidRange", "416"):
                    raise
                return b""

    def _read_local(self, name: str, max_bytes: int) -> bytes:
        """Read without fsspec, and without allocating ``max_bytes``: both matter where 100,000 small files are read."""
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
            found = {name: int(one["size"] or 0) for name, one in self._listed(folder).items()}
        return {name: size for name, size in found.items() if not name.startswith(TEMPORARY_PREFIX)}

    def _listed(self, folder: str) -> dict[str, dict[str, Any]]:
        """The entries of an object store directly in ``folder``, by name. Its ``isdir`` would list all of them once
        more."""
        where = self.path(folder)
        with self._naming_faults(folder, "listed"), suppress(FileNotFoundError):
            self._files.invalidate_cache(where)
            return {posixpath.basename(one["name"].rstrip("/")): one for one in self._files.ls(where, detail=True)}
        return {}

    def read_many(self, names: Iterable[str], max_bytes: int = 100_000_000) -> Iterator[bytes]:
        """The contents of small files in order; of an object store many at once. Errors as :meth:`read`."""
        read = partial(self.read, max_bytes=max_bytes)
        return map(read, names) if self.is_local else many_at_once(read, names)

    def digest(self, name: str) -> tuple[str, int]:
        """SHA-256 and size of a file."""
        with self._naming_faults(name, "read"), self.open(name) as file:
            return digest_file(file)

    def delete(self, name: str, *, lasting: bool = True) -> None:
        """Delete a file if it is there. ``lasting``: it stays deleted even if the machine crashes right after."""
        if self.exists(name):
            with self._naming_faults(name, "deleted"):
                self._files.rm(self.path(name))
                if lasting:
                    self.flush(posixpath.dirname(name))

    def write(self, name: str, content: bytes, *, lasting: bool = True) -> None:
        """Write a file whole; ``lasting`` as of :meth:`writing`."""
        with self.writing(name, lasting=lasting) as file:
            file.write(content)

    def write_document(self, name: str, document: BaseModel, *, lasting: bool = True) -> None:
        """Write a JSON document whole, laid out to be read; ``lasting`` as of :meth:`writing`."""
        self.write(name, document_bytes(document), lasting=lasting)

    @contextmanager
    def writing(self, name: str, *, lasting: bool = True) -> Iterator[BinaryIO]:
        """A binary file to write and seek in, which takes the name ``name`` when the block ends without an error.

        Its content is flushed to disk before it gets its name. ``lasting``: so is the name. For many files leave that
        to one :meth:`flush` at the end, since flushing a name takes longer than flushing the content. RuntimeError
        where the disk is full, where the object store does not answer, or where its lock has been lost.
        """
        if self._lease is not None and self._lease.lost:
            raise RuntimeError(taken_over(self.root))
        final = self.path(name)
        target = written_whole(Path(final), lasting=lasting) if self.is_local else self._put(final)
        with self._naming_faults(name, "written"), target as file:
            yield file

    def check_writable(self) -> None:
        """Fail before long work instead of after it: writes and deletes a probe file, with the errors of
        :meth:`writing`."""
        self.write(PROBE, b"", lasting=False)
        with suppress(OSError, RuntimeError):  # who may write need not be allowed to delete; it is never listed
            self.delete(PROBE, lasting=False)

    def flush(self, folder: str) -> None:
        """Make the names directly in ``folder`` (not below it) last: from now on these files survive a crash of the
        machine."""
        where = Path(self.path(folder))
        if self.is_local and where.is_dir():
            fsync_folder(where)

    @contextmanager
    def _put(self, final: str) -> Iterator[BinaryIO]:
        """Write to an unnamed temporary file, upload it when the block ends, and check the stored size. OSError where
        it differs."""
        with tempfile.TemporaryFile() as file:
            yield cast(BinaryIO, file)
            size = file.seek(0, os.SEEK_END)
            file.flush()
            file.seek(0)  # where macOS' /dev/fd goes on reading; Linux' begins anew
            self._files.put_file(f"/dev/fd/{file.fileno()}", final)
            stored = self._files.info(final)["size"]
        if stored != size:
            raise OSError(f"{stored} of {size} bytes were stored")

    def _naming_faults(self, name: str, done: str) -> AbstractContextManager[None]:
        return naming_faults(f"{self.root}/{name}", done, local=self.is_local)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other jobs from working on the store; ValueError where one already does.

        A folder's lock is the kernel's (:mod:`engine.storage.folder_lock`). An object store has a lock object instead
        (:mod:`engine.storage.leases`); RuntimeError where it was taken over.
        """
        held = folder_locked(Path(self._path), self.root) if self.is_local else self._leased()
        with held as self._fence:
            try:
                yield
            finally:
                self._fence = None

    @contextmanager
    def _leased(self) -> Iterator[str]:
        lease = Lease(self._files, self.path(LOCK), self.root)
        with self._naming_faults(LOCK, "written"):
            lease.take()
        self._lease = lease
        try:
            yield lease.token
        finally:
            self._lease = None
            lease.give_back()
        if lease.lost:
            raise RuntimeError(taken_over(self.root))

    @contextmanager
    def committing(self) -> Iterator[None]:
        """A block in which files that belong together are written, also in a worker process that the store was sent to.

        RuntimeError where the job that held the store's lock when it was sent has lost it: a worker that outlives its
        job does not write beside the next one. In an object store this is checked once, before the block: what a late
        worker still puts is whole, and equal work has equal bytes. A store that was never locked is not checked.
        """
        if isinstance(self._fence, Path):
            with fence_passed(self._fence, self.root):
                yield
            return
        if self._fence is not None:
            with self._naming_faults(LOCK, "read"):
                holder = lease_holder(self._files, self.path(LOCK))
            if holder != self._fence:
                raise RuntimeError(taken_over(self.root))
        yield

    def delete_temporary_files(self, folder: str) -> int:
        """Remove what a killed process left behind in ``folder``; returns how many. Only where nobody writes there."""
        where = Path(self.path(folder))
        if not self.is_local or not where.is_dir():
            return 0
        leftovers = set(where.glob(f"{TEMPORARY_PREFIX}*")) - set(where.glob(f"{FENCE_PREFIX}*"))  # the lock's own
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        return len(leftovers)
