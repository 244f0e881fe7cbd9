"""The same stages on Ray actors or in this process; the only file of labelling and evaluation that imports ray.

In: unit references, a list of stages, and a commit that writes one unit. Out: one manifest per unit, in order of
completion. Each stage is opened once in each of its worker processes; between processes a unit travels whole, as one
Arrow row. Only the manifest comes back to the driver; that of an evaluation carries the answers.

On a cluster nothing changes but ``RAY_ADDRESS`` (see docs/cluster.md).
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from engine.stages import Commit, Manifest, OpenedStages, Stage, first_unit
from engine.stopping import Stopping
from engine.unit_flow import Lost, UnitFlow
from engine.unit_metrics import UnitMetrics
from engine.unit_worker import (
    FAILURE,
    MANIFEST,
    TableWork,
    UnitWorker,
    open_stages,
    open_stages_and_commit,
    raise_failure,
)
from schemas.label_recipes import TeacherRecipe
from schemas.records import UnitRef
from schemas.shards import ShardManifest

Backend = Literal["ray", "inline"]
Pool = tuple[Callable[[], TableWork], int, dict[str, float]]  # what an actor opens, how many, what each takes

WRITE = "write"  # the commit, where it is named beside stages
OBJECT_STORE_BYTES = 1 << 30  # of the Ray started here: a few units in flight; Ray spills to disk beyond it
_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",  # workers are the job, not its background
    "RAY_prestart_worker_first_driver": "0",  # the job needs its actors and no process more
}
TEACHERS_PER_READER = 8  # one process reads and parses for so many GPUs


@dataclass(frozen=True)
class Workers:
    """How many teacher workers run, None for one a GPU or CPU slot, and what each takes of the machine."""

    count: int | None = None
    threads: int = 1
    wants_gpu: bool = False

    @classmethod
    def of_teacher(cls, recipe: TeacherRecipe, count: int | None) -> Workers:
        """What a recipe's teacher takes."""
        return cls(count, recipe.threads, wants_gpu=recipe.device != "cpu")


@dataclass(frozen=True)
class Layout:
    """Which processes do what: for each pool its stages by name, the commit as ``WRITE``, and its size."""

    pools: tuple[tuple[tuple[str, ...], int], ...]
    teachers: int
    on_gpu: bool = False


def layout(stages: Sequence[Stage], *, backend: Backend, workers: Workers) -> Layout:
    """How :func:`run` would lay out these stages, on the Ray that is connected."""
    names = (*(stage.name for stage in stages), WRITE)
    if backend == "inline":
        return Layout(((names, 1),), 1)
    ray = _import_ray()
    teachers = workers.count or _worker_slots(ray, workers)
    if not _on_gpu(ray, workers):
        return Layout(((names, teachers),), teachers)
    helpers = _helpers(teachers)
    pools = [
        (tuple(stage.name for stage in group), teachers if place == "teacher" else helpers)
        for place, group in itertools.groupby(stages, key=lambda stage: stage.place)
    ]
    return Layout((*pools, ((WRITE,), helpers)), teachers, on_gpu=True)


def run(
    refs: Sequence[UnitRef],
    stages: Sequence[Stage],
    open_commit: Callable[[], Commit[Manifest]],
    *,
    backend: Backend,
    workers: Workers,
    stopping: Stopping | None = None,
    lost: Lost | None = None,
    gives: type[Manifest] = ShardManifest,  # type: ignore[assignment]
) -> Generator[Manifest, None, None]:
    """Do the units and yield the manifest of each, of type ``gives``, as soon as it is committed.

    The first stage turns the row numbers of a unit into records. An exception of a stage ends the job; the units that
    were yielded are committed. No reference gives no manifest, and starts nothing. Once ``stopping`` says so, no unit
    is begun any more, and those that were begun are done. ``lost`` hears of each unit that is begun again since its
    worker was lost.
    """
    stopping = stopping or Stopping()
    if refs and backend == "inline":
        yield from _run_inline(refs, stages, open_commit, stopping)
    elif refs:
        yield from _run_on_ray(refs, stages, open_commit, workers, stopping, lost, gives)


def _run_inline(
    refs: Sequence[UnitRef], stages: Sequence[Stage], open_commit: Callable[[], Commit[Manifest]], stopping: Stopping
) -> Generator[Manifest, None, None]:
    opened, commit = OpenedStages(stages), open_commit()
    for ref in refs:
        if stopping.now():
            return
        began = time.monotonic()
        manifest = commit(opened(first_unit(ref)))
        stopping.unit_took(time.monotonic() - began)
        yield manifest


# --------------------------------------------------------------------------------------------------------------- Ray


def _run_on_ray(
    refs: Sequence[UnitRef],
    stages: Sequence[Stage],
    open_commit: Callable[[], Commit[Manifest]],
    workers: Workers,
    stopping: Stopping,
    lost: Lost | None,
    gives: type[Manifest],
) -> Generator[Manifest, None, None]:
    with connected(workers) as ray:
        metrics = UnitMetrics(ray.util.metrics, len(refs))
        with _actors(ray, _pools(ray, stages, open_commit, workers)) as pools:
            for table in UnitFlow(ray, pools, lost).run(refs, stopping):
                if FAILURE in table.column_names:
                    raise_failure(table)
                manifest = gives.model_validate_json(table.column(MANIFEST)[0].as_py())
                metrics.count(manifest)
                yield manifest


@contextmanager
def _actors(ray: Any, pools: Iterable[Pool]) -> Iterator[list[list[Any]]]:
    """The actors of each pool, started over the whole cluster, stopped at the end, whatever they are doing then."""
    actors: list[list[Any]] = []
    opened = []  # held here: an actor that is restarted opens its work again
    try:
        for open_work, size, resources in pools:
            opened.append(ray.put(open_work))
            options = {"max_restarts": -1, "scheduling_strategy": "SPREAD", **resources}
            actor_class = ray.remote(**options)(UnitWorker)
            actors.append([actor_class.remote(opened[-1], os.getcwd()) for _ in range(size)])
        yield actors
    finally:
        for actor in itertools.chain.from_iterable(actors):
            ray.kill(actor)


@contextmanager
def connected(workers: Workers) -> Iterator[Any]:
    """Ray: the one this process has, the cluster of ``RAY_ADDRESS``, or one started here and shut down at the end.

    Several jobs inside the block share it.
    """
    ray = _import_ray()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with _ray_warnings_ignored():
        started_here = _connect(ray, workers)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own in place
    try:
        yield ray
    finally:
        if started_here:
            ray.shutdown()


@contextmanager
def _ray_warnings_ignored() -> Iterator[None]:
    """Ray warns of its own deprecated settings while it starts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _pools(
    ray: Any, stages: Sequence[Stage], open_commit: Callable[[], Commit[Manifest]], workers: Workers
) -> Iterator[Pool]:
    """What each pool of actors opens, its size, and what one actor takes of the machine.

    Beside a GPU, reading and writing have processes of their own, so that the GPU never waits for them. On CPUs they
    would take from the teachers what they give them, and the whole job is one pool.
    """
    teachers = workers.count or _worker_slots(ray, workers)
    if not _on_gpu(ray, workers):
        yield partial(open_stages_and_commit, stages, open_commit, int), teachers, {"num_cpus": workers.threads}
        return
    helpers, helper = _helpers(teachers), {"num_cpus": 0.5}
    takes: type = int
    for place, group in itertools.groupby(stages, key=lambda stage: stage.place):
        members = list(group)
        at_gpu = place == "teacher"
        open_work = partial(open_stages, members, takes)
        yield open_work, teachers if at_gpu else helpers, {"num_gpus": 1, "num_cpus": 0.5} if at_gpu else helper
        takes = members[-1].gives
    yield partial(open_stages_and_commit, [], open_commit, takes), helpers, helper


def _helpers(teachers: int) -> int:
    return -(-teachers // TEACHERS_PER_READER)


def _on_gpu(ray: Any, workers: Workers) -> bool:
    return workers.wants_gpu and ray.cluster_resources().get("GPU", 0) >= 1


def _worker_slots(ray: Any, workers: Workers) -> int:
    """As many teacher workers as the GPUs, or as the CPUs, allow; at least one."""
    resources = ray.cluster_resources()
    if _on_gpu(ray, workers):
        return int(resources["GPU"])
    return max(1, int(resources.get("CPU", 1)) // workers.threads)


def _import_ray() -> Any:
    """Ray, told to be quiet and to send nothing home, before its first import reads the environment."""
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _ray_warnings_ignored():
        import ray
        import ray.util.metrics

    return ray


def _connect(ray: Any, workers: Workers) -> bool:
    """Join the cluster of ``RAY_ADDRESS``, or start Ray here, unless this process has one; True where it is ours."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, **quiet)
        return True
    slots = max(workers.count or 1, len(os.sched_getaffinity(0)) // workers.threads)
    with _silent_stderr():
        ray.init(
            address="local",
            num_cpus=slots * workers.threads + (1 if workers.wants_gpu else 0),  # one for those that read and write
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            **quiet,
        )
    return True


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Ray's C++ core announces on stderr that it was told to be silent. Failures come as exceptions all the same."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
