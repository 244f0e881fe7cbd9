"""The actors of a job: as many as its cluster has room for at the start, and more when machines join it later.

In: the pools that the job would have on the cluster as it is now. Out: Ray's actors, pool by pool, stopped at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from engine.made_by import code_version
from engine.running.layout import Pool
from engine.running.stages import Commit, Manifest
from engine.running.unit_flow import StartMissing
from engine.running.unit_worker import UnitWorker, open_stages


class _Pool:
    """The actors of one pool, which all do the same work."""

    def __init__(self, ray: Any, pool: Pool, open_commit: Callable[[], Commit[Manifest]]) -> None:
        options = {"max_restarts": -1, "scheduling_strategy": "SPREAD", **pool.takes}
        self._actor_class = ray.remote(**options)(UnitWorker)
        # Kept for the life of the pool: a restarted actor opens its work again.
        self._opened = ray.put(partial(open_stages, pool.stages, open_commit if pool.commits else None))
        self.actors: list[Any] = []

    def grow(self, size: int) -> list[Any]:
        """Start the actors that are missing for ``size``, and return these."""
        given = (self._opened, os.getcwd(), code_version())
        started = [self._actor_class.remote(*given) for _ in range(size - len(self.actors))]
        self.actors += started
        return started


@contextmanager
def actor_pools(
    ray: Any, wanted: Callable[[], Sequence[Pool]], open_commit: Callable[[], Commit[Manifest]]
) -> Iterator[StartMissing]:
    """Yield a function that starts the actors that the cluster has room for, and returns the new ones, pool by pool.
    All actors end with the block.

    ``wanted`` returns the pools for the cluster's resources at the moment of the call. No actor is ever removed: those
    of a lost machine wait until Ray finds room for them. The kind of layout stays as at the start: GPUs that join a job
    on CPUs do not change it.
    """
    pools: list[_Pool] = []

    def start_missing() -> list[list[Any]]:
        now = wanted()
        if not pools:
            pools.extend(_Pool(ray, pool, open_commit) for pool in now)
        if len(now) != len(pools):
            return [[] for _ in pools]
        return [pool.grow(one.size) for pool, one in zip(pools, now, strict=True)]

    try:
        yield start_missing
    finally:
        for pool in pools:
            for actor in pool.actors:
                ray.kill(actor)
