"""Compare-and-swap of one small file that many processes write: it is replaced only if nobody else has changed it.

In: a store, a name, what was read before. Out: whether the new content is written. On an object store by a conditional
put (``If-None-Match``, ``If-Match``); in a folder, and on a store whose files have no version (ETag), by comparing and
writing under the store's lock.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import fsspec

from engine.artifacts import Store
from engine.storage.faults import naming_faults
from engine.storage.file_systems import file_system_of

MAX_BYTES = 1_000_000
LOCK_WAIT_S = 15.0  # ample: the lock is held only while the file is compared and written
LOCK_PAUSE_S = 0.01, 0.1  # a random pause between two tries; it does not grow, so that nobody waits for ever


@dataclass(frozen=True, slots=True)
class Found:
    """The content of a file in a store; ``tag`` is its ETag, None where the store has none."""

    content: bytes
    tag: str | None


def read_found(store: Store, name: str) -> Found | None:
    """The file as it is now, at most its first megabyte; None where there is no such file. Errors as of
    :meth:`Store.open`."""
    files, path = _place(store, name)
    try:
        with naming_faults(f"{store.root}/{name}", "read", local=store.is_local):
            tag = None if store.is_local else files.info(path).get("ETag")  # first: a put on an old tag fails
            with store.open(name) as file:
                return Found(file.read(MAX_BYTES), tag)
    except FileNotFoundError:
        return None


def swap(store: Store, name: str, before: Found | None, content: bytes) -> bool:
    """Write ``content`` if the file is still as ``before`` (None: does not exist); returns False if it has changed.

    ``content`` must differ from what any other writer puts there. ValueError where another process keeps the store
    locked, or the bucket does not exist; OSError or RuntimeError where the file cannot be written.
    """
    if not store.is_local and (before is None or before.tag is not None):
        with naming_faults(f"{store.root}/{name}", "written", local=False):
            return _put(store, name, before, content)
    with _locked(store):
        if _content(read_found(store, name)) != _content(before):
            return False
        store.write(name, content)
        return True


def create(store: Store, name: str, content: bytes) -> bool:
    """Write a new file; returns False where it exists already. Errors as :func:`swap`."""
    return swap(store, name, None, content)


def _put(store: Store, name: str, before: Found | None, content: bytes) -> bool:
    files, path = _place(store, name)
    condition = {"mode": "create"} if before is None else {"IfMatch": before.tag}
    for pause_s in (0.05, 0.2, 1.0, None):
        try:
            files.pipe_file(path, content, **condition)
            return True
        except PermissionError:
            raise  # nothing was done, and what is there may not be read either
        except OSError:
            now = read_found(store, name)
            if _content(now) != _content(before):
                return _content(now) == content  # True if the put succeeded and only its answer was lost
            if pause_s is None:
                raise
            time.sleep(pause_s)  # S3 may refuse two puts at the same moment without having done either
    raise AssertionError("the last try returns or raises")


@contextmanager
def _locked(store: Store) -> Iterator[None]:
    """Hold the store's lock. ValueError where another process keeps it for ``LOCK_WAIT_S``."""
    with ExitStack() as held:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                held.enter_context(store.locked())
                break
            except ValueError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(*LOCK_PAUSE_S))
        yield


def _content(found: Found | None) -> bytes | None:
    return None if found is None else found.content


def _place(store: Store, name: str) -> tuple[fsspec.AbstractFileSystem, str]:
    return file_system_of(store.root)[0], store.path(name)
