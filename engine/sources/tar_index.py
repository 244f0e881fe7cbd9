"""The index of an untrusted tar, made from its headers alone: nothing is extracted.

In: an open tar of ``KEY.jpg`` + ``KEY.txt`` (+ ``KEY.json``). Out: one row per sample, in order, with the offsets of
its members, or with the reason why it is no sample; and a digest of the contents.

Members of one sample are adjacent, as img2dataset and webdataset write them; macOS' files between them (``._dog.jpg``)
are ignored. Of two samples with one key the first counts. A tar that is cut off or corrupt keeps the samples that are
complete before the break; the rest becomes one row with the reason ``tar_broken``, so that the same bytes always give
the same rows.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from engine.shards import valid_key
from engine.sources.hidden_files import is_apple_double
from engine.sources.keys import printable

MAX_HEADER_BYTES = 1 << 20
MAX_TAR_BYTES = 1 << 43  # a header that points farther is forged; file systems may not accept such an offset
DIGESTED_BYTES = 1024  # of each member: usually a whole caption, and enough to distinguish two pictures of equal size
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")  # first bytes of gzip, bzip2, xz and zstd
FIRST_MEMBERS = 60  # in which the fields of samples are looked for; usually twenty samples
_UNSAFE = re.compile(r"[\x00-\x1f\\\ud800-\udfff]|^[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Member:
    """The place of a member's content in the tar: bytes ``[offset, offset + size)``."""

    offset: int
    size: int


@dataclass(slots=True)
class Row:
    """A sample of the tar, with its members by lower-case extension; or, if ``reason`` is set, why it is none."""

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class TarIndex:
    """The rows of one tar, and a digest of every member's name, type, size and first bytes."""

    rows: tuple[Row, ...]
    digest: str


def index_tar(file: BinaryIO) -> TarIndex:
    """The rows of a tar, whole or broken. The content of a tar never makes it raise. An empty tar gives no row."""
    rows: list[Row] = []
    digest = hashlib.sha256()
    broken = ""
    grouping = _Grouping(rows)
    try:
        with tarfile.open(fileobj=cast(Any, _HeaderReader(file)), mode="r:", errors="surrogateescape") as tar:
            for member in tar:
                _check_progress(tar, member)
                digest.update(repr((member.name, member.type, member.size)).encode())
                file.seek(member.offset_data)
                digest.update(file.read(min(member.size, DIGESTED_BYTES)))
                grouping.add(member)
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                broken = f"it has no end mark at byte {tar.offset}"
    except RecursionError:  # a fixed text: the error's own depends on the caller, and rows only on the tar's bytes
        broken = "headers of headers without end"
    except (tarfile.TarError, ValueError, OverflowError) as error:
        broken = printable(str(error)) or type(error).__name__
    if broken:
        grouping.drop_unfinished()
        digest.update(f"broken {broken}".encode())
        why = f"the tar is cut off or corrupt: {broken}; the samples before are kept, fetch it again"
        if not rows and _is_compressed(file):
            why = "the tar is compressed; unpack it, and label it then"
        rows.append(Row(key=f"(after {sum(not row.reason for row in rows)} samples)", reason="tar_broken", message=why))
    return TarIndex(tuple(rows), digest.hexdigest())


def _is_compressed(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(6).startswith(COMPRESSED)


def first_jsons(file: BinaryIO) -> list[Member] | None:
    """The ``.json`` members among the first members of a tar; None where the tar cannot be read or is empty."""
    found, members = [], False
    try:
        with tarfile.open(fileobj=cast(Any, _HeaderReader(file)), mode="r:", errors="surrogateescape") as tar:
            for member in itertools.islice(tar, FIRST_MEMBERS):
                members = True
                _check_progress(tar, member)
                if member.isreg() and member.name.lower().endswith(".json"):
                    found.append(Member(member.offset_data, member.size))
    except (tarfile.TarError, ValueError, OverflowError, RecursionError):
        return None
    return found if members else None


class _Grouping:
    """Puts members into rows: consecutive members of one key are one sample."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._seen: set[str] = set()
        self._current: Row | None = None

    def add(self, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix("./")
        if member.isdir() or is_apple_double(name):
            return
        if _leads_out(name):
            self._reject(name, "member_name_unsafe", "its name leads out of the archive or is not text; not read")
        elif not member.isreg() or member.issparse():
            self._reject(name, "member_not_a_file", "a link, device or sparse file; only plain files are read")
        else:
            self._add_file(name, Member(member.offset_data, member.size))

    def drop_unfinished(self) -> None:
        """Remove the last sample, which may not be complete."""
        if self._current is not None:
            self._rows.remove(self._current)
            self._current = None

    def _add_file(self, name: str, member: Member) -> None:
        folder, _, base = name.rpartition("/")
        stem, _, extension = base.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        if self._current is None or self._current.key != printable(key):
            self._current = self._open_row(key, name)
        if extension.lower() in self._current.members and not self._current.reason:
            self._current.reason = "member_duplicate"
            self._current.message = f"member {printable(name)!r} occurs twice in one sample"
        self._current.members[extension.lower()] = member

    def _open_row(self, key: str, name: str) -> Row:
        row = Row(printable(key))
        if not valid_key(key):
            row.reason = "key_invalid"
            row.message = f"{printable(name)!r}: a key has 1 to 200 characters, and no folder; pack the files without"
        elif key in self._seen:
            row.reason = "key_duplicate"
            row.message = (
                "the key occurs earlier in this tar; the first one counts (a sample's files must be neighbours)"
            )
        self._seen.add(key)
        self._rows.append(row)
        return row

    def _reject(self, name: str, reason: str, message: str) -> None:
        self._rows.append(Row(printable(name), reason=reason, message=message))


def _leads_out(name: str) -> bool:
    return name.startswith("/") or ".." in PurePosixPath(name).parts or _UNSAFE.search(name) is not None


def _check_progress(tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    """Raise where a forged size, which may be negative, would send ``tarfile`` back, and so into an endless loop."""
    if member.size < 0 or tar.offset <= member.offset:
        raise tarfile.ReadError(f"member {printable(member.name)!r} has the impossible size {member.size}")


class _HeaderReader:
    """The file as given to ``tarfile``: large reads fail, so that no forged header can load gigabytes into memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        if not 0 <= offset <= MAX_TAR_BYTES:
            raise tarfile.ReadError("a header points before the start of the archive, or terabytes beyond")
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()
