"""Gives units to actors and collects their results; a unit whose actor was lost is begun again.

In: unit references and pools of actors, one pool after another in the flow; actors may join while the job runs. Out:
the last pool's result for each unit, in order of completion. A unit is begun only when each pool has an actor for it.
So nothing queues up: a stop takes effect at once, and the driver's memory does not grow with the source.

Why not Ray Data: it takes in all of its input (an object for each unit), it cannot be told to take no more, and the
units of an actor whose machine is gone wait until another machine comes. Here the remaining actors take them.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.running.stages import first_unit
from engine.running.stopping import Stopping
from engine.running.unit_queue import UnitQueue
from schemas.records import UnitRef

UNITS_AHEAD = 2  # units that a worker has at once: the second one is ready when the first is done
UNIT_RETRIES = 2  # of a unit whose worker was lost; beyond it the job ends. (Dead workers are always replaced.)
LOOK_AGAIN_S = 0.5  # the longest delay until a request to stop is noticed
LOOK_FOR_ROOM_S = 5.0  # the longest delay until a machine that has joined the cluster is noticed
TELL_AFTER_S = 60.0  # of no running worker: the cluster may be starting machines, or have no room for one

log = logging.getLogger(__name__)

Lost = Callable[[UnitRef, str], None]
StartMissing = Callable[[], Sequence[Sequence[Any]]]


@dataclass(eq=False, slots=True)
class _Worker:
    """An actor, and the number of units that it has."""

    actor: Any
    units: int = 0
    ready: bool = False


@dataclass(frozen=True, slots=True)
class _Begun:
    """A unit in progress, with the workers that it goes through, one of each pool."""

    ref: UnitRef
    tries: int
    crew: tuple[_Worker, ...]
    since: float


class UnitFlow:
    """The units of a job on its actors, each a :class:`~engine.running.unit_worker.UnitWorker`, which Ray restarts
    wherever there is room. ``start_missing`` starts and returns the actors of each pool; called again, only those that
    are new because the cluster has grown."""

    def __init__(self, ray: Any, start_missing: StartMissing, lost: Lost | None = None) -> None:
        self._ray = ray
        self._start_missing = start_missing
        self._looked_at = -math.inf
        self._pools: list[list[_Worker]] = []
        self._lost = lost or (lambda ref, why: None)
        self._begun: dict[Any, _Begun] = {}
        self._starting: dict[Any, _Worker] = {}
        self._at_rest_since: float | None = None

    def run(self, refs: Sequence[UnitRef], stopping: Stopping) -> Iterator[Any]:
        """The result of each unit, until all are done; or, once ``stopping`` says so, all that are in progress.

        RuntimeError where a unit loses its worker more than ``UNIT_RETRIES`` times.
        """
        waiting = UnitQueue(refs)
        while True:
            if stopping.now():
                waiting.clear()
            if waiting:
                self._take_in_new_workers()
            while waiting and (crew := self._free_crew()):
                self._begin(*waiting.take(crew[0]), crew)
                if stopping.now():
                    waiting.clear()
            if not waiting and not self._begun:
                return
            self._tell_of_rest()
            done, _ = self._ray.wait([*self._begun, *self._starting], num_returns=1, timeout=LOOK_AGAIN_S)
            for reference in done:
                if reference in self._starting:
                    self._has_started(reference)
                    continue
                begun = self._end(reference)
                try:
                    result = self._ray.get(reference)
                except self._ray.exceptions.RayError as error:
                    waiting.put_back(begun.ref, self._tries_after(begun, error))
                else:
                    stopping.unit_took(time.monotonic() - begun.since)
                    yield result

    def _take_in_new_workers(self) -> None:
        """Add the workers of the start, and from time to time those of machines that have joined since."""
        if time.monotonic() - self._looked_at < LOOK_FOR_ROOM_S:
            return
        started = self._start_missing()
        self._pools = self._pools or [[] for _ in started]
        for pool, actors in zip(self._pools, started, strict=True):
            new = [_Worker(actor) for actor in actors]
            pool += new
            self._await(new)
        self._looked_at = time.monotonic()

    def _tell_of_rest(self) -> None:
        """Log, once in each such phase, that Ray has not found room for any worker for long."""
        now = time.monotonic()
        if self._begun:
            self._at_rest_since = None
        elif self._at_rest_since is None:
            self._at_rest_since = now
        elif now - self._at_rest_since > TELL_AFTER_S:
            waited = now - self._at_rest_since
            self._at_rest_since = math.inf
            log.warning(
                "no unit could start for %.0f s: %d worker processes have not started. Where they wait for room on a "
                "machine, `ray status` shows what they request and what is free; fewer --workers, or fewer "
                "teacher.threads, request less",
                waited,
                len(self._starting),
            )

    def _free_crew(self) -> tuple[_Worker, ...]:
        """The least busy worker of each pool; empty where a pool has none to spare."""
        crew = []
        # One unit more for each pool after the first: it is being read, or written, while the others compute.
        most_in_all = (UNITS_AHEAD + len(self._pools) - 1) * max(len(pool) for pool in self._pools)
        for pool in self._pools:
            most = -(-most_in_all // len(pool))
            free = [worker for worker in pool if worker.ready and worker.units < most]
            if not free:
                return ()
            crew.append(min(free, key=lambda worker: worker.units))
        return tuple(crew)

    def _begin(self, ref: UnitRef, tries: int, crew: tuple[_Worker, ...]) -> None:
        result: Any = first_unit(ref)
        for worker in crew:
            result = worker.actor.work.remote(result)  # a reference: the next worker gets the result when it is there
            worker.units += 1
        self._begun[result] = _Begun(ref, tries, crew, time.monotonic())

    def _end(self, reference: Any) -> _Begun:
        begun = self._begun.pop(reference)
        for worker in begun.crew:
            worker.units -= 1
        return begun

    def _tries_after(self, begun: _Begun, error: Exception) -> int:
        """The new number of tries for a unit that came back without a result. Asking its workers shows which was
        lost."""
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if begun.tries >= UNIT_RETRIES:
            raise RuntimeError(
                f"a worker process was lost, and again when its unit {begun.ref.index} was retried: {reason}"
            ) from error
        self._lost(begun.ref, reason)
        self._await(begun.crew)
        return begun.tries + 1

    def _await(self, workers: Sequence[_Worker]) -> None:
        """Give these workers no unit until they answer, which a lost one does only after its restart."""
        awaited = set(self._starting.values())
        for worker in workers:
            if worker not in awaited:
                worker.ready = False
                self._starting[worker.actor.ready.options(max_task_retries=-1).remote()] = worker

    def _has_started(self, reference: Any) -> None:
        worker = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            raise RuntimeError(_not_started(str(error))) from error
        worker.ready = True


def _not_started(error: str) -> str:
    """The message for a worker that Ray could not start: where, and the last line of Ray's error, after its traces."""
    host = re.search(r"\bip=([^,)]+)", error)
    reason = next((line.strip() for line in reversed(error.splitlines()) if line.strip()), "no reason is given")
    return (
        f"a worker process{f' on {host[1]}' if host else ''} cannot be started: {reason}; every machine of the cluster "
        "needs the same installation of glip-engine"
    )
