"""Many waits at once: for an object store, the web or a disk, each in a thread of its own.

In: a function, and what to call it with. Out: its results, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

REQUESTS_AT_ONCE = 32

Item = TypeVar("Item")
Result = TypeVar("Result")


def many_at_once(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int = REQUESTS_AT_ONCE
) -> Iterator[Result]:
    """The results of ``work`` for each item, in order. It runs ahead of its consumer, but not far, since results may be
    large."""
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
