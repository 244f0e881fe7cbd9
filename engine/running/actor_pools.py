"""The actors of a job: those that its cluster has room for at the start, and more when machines join it later.

In: which pools the job would have on the cluster as it is now. Out: Ray's actors, pool by pool, stopped at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from engine.running.layout import Pool
from engine.running.stages import Commit, Manifest
from engine.running.unit_flow import StartMissing
from engine.running.unit_worker import UnitWorker, open_stages


class _Pool:
    """The actors that do the same."""

    def __init__(self, ray: Any, pool: Pool, open_commit: Callable[[], Commit[Manifest]]) -> None:
        options = {"max_restarts": -1, "scheduling_strategy": "SPREAD", **pool.takes}
        self._actor_class = ray.remote(**options)(UnitWorker)
        # Held here: an actor that is restarted opens its work again.
        self._opened = ray.put(partial(open_stages, pool.stages, open_commit if pool.commits else None))
        self.actors: list[Any] = []

    def grow(self, size: int) -> list[Any]:
        """Start the actors that are missing, and give these."""
        started = [self._actor_class.remote(self._opened, os.getcwd()) for _ in range(size - len(self.actors))]
        self.actors += started
        return started


@contextmanager
def actor_pools(
    ray: Any, wanted: Callable[[], Sequence[Pool]], open_commit: Callable[[], Commit[Manifest]]
) -> Iterator[StartMissing]:
    """A function that starts what the cluster has room for when it is called, and gives the actors that are new, pool
    by pool; all are ended with the block.

    ``wanted`` is the layout for what the cluster has at the moment of the call. No actor is ever taken away: those of a
    machine that is gone wait until Ray finds room for them. The job stays laid out as it was begun: GPUs that join a
    job on CPUs do not change it.
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
