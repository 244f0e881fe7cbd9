"""Writes many small files in parallel, since for each one the wait for the disk or the object store takes longest.

In: names and contents, one after another. Out: the files in a store, all written when the block ends.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from engine.artifacts import Store

WRITES_AT_ONCE = 16


@contextmanager
def many_files(store: Store) -> Iterator[Callable[[str, bytes], None]]:
    """Yield ``write(name, content)``; at most ``2 * WRITES_AT_ONCE`` contents wait in memory.

    An error of a file is raised by a later ``write``, or at the end of the block.
    """
    waiting: deque[Future[None]] = deque()
    folders: set[str] = set()
    pool = ThreadPoolExecutor(WRITES_AT_ONCE)

    def write(name: str, content: bytes) -> None:
        folders.add(posixpath.dirname(name))
        if len(waiting) == 2 * WRITES_AT_ONCE:
            waiting.popleft().result()
        waiting.append(pool.submit(store.write, name, content, lasting=False))

    try:
        yield write
        while waiting:
            waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
    for folder in sorted(folders):
        store.flush(folder)
