"""A tar, byte for byte as ``tarfile`` writes it, and its digest.

In: members, whole. Out: the tar in a file. ``tarfile`` copies contents in pieces and puts every header together anew,
which is a good part of the work where pictures and labels have some kilobytes (``benchmarks/shard_writing.py``).
"""

from __future__ import annotations

import hashlib
import tarfile
from typing import BinaryIO

_NAME, _SIZE, _CHECKSUM = slice(0, 100), slice(124, 136), slice(148, 156)  # the fields of a header that differ


class TarWriter:
    """Writes a tar into ``file``; ``sha256`` and ``size`` (in bytes) are those of what has been written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256, self.size = hashlib.sha256(), 0

    def add(self, name: str, content: bytes) -> None:
        self._write(_header(name, len(content)))
        self._write(content)
        self._write(bytes(-len(content) % tarfile.BLOCKSIZE))

    def end(self) -> None:
        """Write the end of a tar, which is of whole records."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._write(bytes(-self.size % tarfile.RECORDSIZE))

    def _write(self, content: bytes) -> None:
        self.sha256.update(content)
        self.size += len(content)
        self._file.write(content)


def _header(name: str, size: int) -> bytes:
    """The header of a file: USTAR where that can hold the name, else PAX."""
    if not name.isascii() or len(name) > _NAME.stop:
        return _member(name, size).tobuf(tarfile.PAX_FORMAT)
    header = bytearray(_NAMELESS)
    header[: len(name)] = name.encode()
    header[_SIZE] = b"%011o\0" % size
    header[_CHECKSUM] = b" " * 8  # as which it counts in the sum
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    return bytes(header)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member


_NAMELESS = _member("", 0).tobuf(tarfile.USTAR_FORMAT)
