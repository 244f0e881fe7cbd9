"""A copy of a whole file of an object store or of the web, in an unnamed temporary file that disappears with the
process, however that ends.

In: a file system, a path, and the stated size. Out: the copy, or an error. A file that arrives incomplete is fetched
again; one without a stated size may have only so many bytes.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any, BinaryIO, cast

import aiohttp

from engine.sources.web_files import web
from engine.storage.faults import FULL, naming_faults

COPY_BYTES = 1 << 23
MAX_UNSTATED_BYTES = 20_000_000_000  # limit of a file whose size the server does not state: it may never end
FETCH_TRIES = 3
# Limits for a whole file: the longest silence, and the lowest speed after a while. The client's own limit, five minutes
# for any size, would end the transfer of every large file.
WHOLE_FILE = aiohttp.ClientTimeout(total=None, sock_connect=60.0, sock_read=60.0)
PATIENCE_S, SLOWEST_BYTES_S = 300.0, 10_000.0
PASSING = (OSError, aiohttp.ClientError, TimeoutError)


def fetched(system: Any, path: str, size: int | None, *, is_web: bool) -> BinaryIO:
    """A copy of the file, open for reading and seeking.

    RuntimeError where it cannot be fetched whole in three tries, or, at once, where access is denied or the disk is
    full; ValueError where its size is not stated (``size`` None) and exceeds ``MAX_UNSTATED_BYTES``.
    """
    with naming_faults(system.unstrip_protocol(path), "read", local=False):
        return _in_some_tries(system, path, size, is_web)


def _in_some_tries(system: Any, path: str, size: int | None, is_web: bool) -> BinaryIO:
    for left in reversed(range(FETCH_TRIES)):
        copy = cast(BinaryIO, tempfile.TemporaryFile(prefix="glip-engine-"))  # noqa: SIM115 - the caller closes it
        try:
            _copy(system, path, size, copy, is_web)
            return copy
        except PASSING as error:
            copy.close()
            if isinstance(error, PermissionError) or getattr(error, "errno", None) in FULL:
                raise
            if not left:
                raise RuntimeError(f"{path} cannot be fetched: {type(error).__name__}: {error}") from error
            time.sleep(2.0 ** (FETCH_TRIES - left - 1))
        except BaseException:
            copy.close()
            raise
    raise AssertionError("the last try has returned or raised")


def _copy(system: Any, path: str, size: int | None, copy: BinaryIO, is_web: bool) -> None:
    # From the web in one request for the whole file, which every server can answer.
    system, block_size = (web(WHOLE_FILE), 0) if is_web else (system, COPY_BYTES)
    most, began = MAX_UNSTATED_BYTES if size is None else size, time.monotonic()
    with system.open(path, "rb", block_size=block_size) as remote:
        while copy.tell() <= most and (part := remote.read(COPY_BYTES)):
            copy.write(part)
            if copy.tell() < SLOWEST_BYTES_S * (time.monotonic() - began - PATIENCE_S):
                raise TimeoutError(f"only {copy.tell()} bytes came in {time.monotonic() - began:.0f} s")
    if size is None and copy.tell() > most:
        raise ValueError(
            f"{path} has more than {most} bytes, and its server does not state how many: it may have no end; download "
            "it, and give the file"
        )
    if size is not None and copy.tell() != size:
        raise OSError(f"{copy.tell()} of {size} bytes came")
    copy.seek(0)


def read_most(file: BinaryIO, most: int) -> bytes:
    """Up to ``most`` bytes; fewer only at the end of the file. (A web stream's ``read`` may return fewer before.)"""
    parts: list[bytes] = []
    while most > 0 and (part := file.read(most)):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)
