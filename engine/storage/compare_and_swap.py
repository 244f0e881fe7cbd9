"""One small file that many processes move: read with its version, replaced only where it is still that version.

In: a store, a name, what was read before. Out: whether the new content is in. On an object store by a conditional put
(``If-None-Match``, ``If-Match``); in a folder, and on a store whose files have no version (ETag), under the store's
lock, by comparing and writing.
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
LOCK_WAIT_S = 15.0  # the lock is held for the moment of a move
LOCK_PAUSE_S = 0.01, 0.1  # between two tries, at random: who has waited long is not to ask more rarely than who comes


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it lies in the store; ``tag`` is its ETag, None where the store has no such thing."""

    content: bytes
    tag: str | None


def read_found(store: Store, name: str) -> Found | None:
    """The file as it is now; None where there is none. Of one that is larger than a megabyte, the first megabyte."""
    files, path = _place(store, name)
    try:
        tag = None if store.is_local else files.info(path).get("ETag")  # first: if the content is newer, a put fails
        with store.open(name) as file:
            return Found(file.read(MAX_BYTES), tag)
    except FileNotFoundError:
        return None


def swap(store: Store, name: str, before: Found | None, content: bytes) -> bool:
    """Put ``content`` in place of exactly what was ``before`` (of no file, where None); False where that has changed.

    ``content`` has to be unlike what any other writer puts there. ValueError where the store stays locked by another
    process, or where there is no such bucket; OSError or RuntimeError where it cannot be written.
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
    """Write a file where there is none; False where there is one. As :func:`swap`."""
    return swap(store, name, None, content)


def _put(store: Store, name: str, before: Found | None, content: bytes) -> bool:
    files, path = _place(store, name)
    condition = {"mode": "create"} if before is None else {"IfMatch": before.tag}
    for pause_s in (0.05, 0.2, 1.0, None):
        try:
            files.pipe_file(path, content, **condition)
            return True
        except OSError:
            now = read_found(store, name)
            if _content(now) != _content(before):
                return _content(now) == content  # also where the put went through and only its answer was lost
            if pause_s is None:
                raise
            time.sleep(pause_s)  # S3 refuses one of two puts at the same moment, and has done neither
    raise AssertionError("the last try returns or raises")


@contextmanager
def _locked(store: Store) -> Iterator[None]:
    """The store's lock, waited for a little. ValueError where another process keeps it."""
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
