"""The same stages on Ray Data or in this process; the only file of the labelling job that imports ray.

In: unit references, a list of stages, and a commit that writes one unit. Out: one manifest per unit, in order of
completion. A unit stays one block from its reading to its shard. Each stage is opened once in each of its worker
processes; between processes a unit travels as one Arrow row. Only the manifest comes back to the driver.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from engine.stages import Commit, OpenedStages, Stage, first_unit
from engine.unit_row import unit_to_arrow
from engine.unit_worker import (
    FAILURE,
    MANIFEST,
    TableWork,
    UnitWorker,
    open_stages,
    open_stages_and_commit,
    raise_failure,
)
from schemas.records import UnitRef
from schemas.shards import ShardManifest

Backend = Literal["ray", "inline"]

OBJECT_STORE_BYTES = 1 << 30  # of the Ray started here: a few units in flight; Ray spills to disk beyond it
UNITS_AHEAD = 2  # units given to a teacher worker at once: the second one lies ready when the first is done
UNIT_RETRIES = 2  # dead workers are replaced without end, but a unit that kills so many more of them ends the job
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


def run(
    refs: Sequence[UnitRef],
    stages: Sequence[Stage],
    open_commit: Callable[[], Commit],
    *,
    backend: Backend,
    workers: Workers,
) -> Generator[ShardManifest, None, None]:
    """Do the units and yield the manifest of each as soon as it is committed.

    The first stage turns the row numbers of a unit into records. An exception of a stage ends the job; the units that
    were yielded are committed. No reference gives no manifest, and starts nothing.
    """
    if refs:
        yield from (_run_inline if backend == "inline" else _run_on_ray)(refs, stages, open_commit, workers)


def _run_inline(
    refs: Sequence[UnitRef], stages: Sequence[Stage], open_commit: Callable[[], Commit], workers: Workers
) -> Generator[ShardManifest, None, None]:
    opened, commit = OpenedStages(stages), open_commit()
    for ref in refs:
        yield commit(opened(first_unit(ref)))


# --------------------------------------------------------------------------------------------------------------- Ray


def _run_on_ray(
    refs: Sequence[UnitRef], stages: Sequence[Stage], open_commit: Callable[[], Commit], workers: Workers
) -> Generator[ShardManifest, None, None]:
    with connected(workers) as ray:
        try:
            dataset = _flow(ray, refs, stages, open_commit, workers)
            for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                if FAILURE in batch.column_names:
                    raise_failure(batch)
                for text in batch.column(MANIFEST).to_pylist():
                    yield ShardManifest.model_validate_json(text)
        except ray.exceptions.RayError as error:
            reason = next(line for line in str(error).splitlines() if line.strip())
            raise RuntimeError(f"a worker process was lost, and again when its unit was retried: {reason}") from error


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


def _flow(
    ray: Any, refs: Sequence[UnitRef], stages: Sequence[Stage], open_commit: Callable[[], Commit], workers: Workers
) -> Any:
    """The lazy Ray dataset: one block a unit, through the pools of actors, to the manifests."""
    dataset = ray.data.from_arrow([unit_to_arrow(first_unit(ref), int) for ref in refs])
    for open_work, size, resources in _pools(ray, stages, open_commit, workers):
        dataset = _map(ray, dataset, open_work, size, resources)
    return dataset


def _pools(
    ray: Any, stages: Sequence[Stage], open_commit: Callable[[], Commit], workers: Workers
) -> Iterator[tuple[Callable[[], TableWork], int, dict[str, float]]]:
    """What each pool of actors opens, its size, and what one actor takes of the machine.

    Beside a GPU, reading and writing have processes of their own, so that the GPU never waits for them. On CPUs they
    would take from the teachers what they give them, and the whole job is one pool.
    """
    teachers = workers.count or _worker_slots(ray, workers)
    if not _on_gpu(ray, workers):
        yield partial(open_stages_and_commit, stages, open_commit, int), teachers, {"num_cpus": workers.threads}
        return
    helpers, helper = -(-teachers // TEACHERS_PER_READER), {"num_cpus": 0.5}
    takes: type = int
    for place, group in itertools.groupby(stages, key=lambda stage: stage.place):
        members = list(group)
        at_gpu = place == "teacher"
        open_work = partial(open_stages, members, takes)
        yield open_work, teachers if at_gpu else helpers, {"num_gpus": 1, "num_cpus": 0.5} if at_gpu else helper
        takes = members[-1].gives
    yield partial(open_stages_and_commit, [], open_commit, takes), helpers, helper


def _on_gpu(ray: Any, workers: Workers) -> bool:
    return workers.wants_gpu and ray.cluster_resources().get("GPU", 0) >= 1


def _map(ray: Any, dataset: Any, open_work: Callable[[], Any], size: int, resources: dict[str, Any]) -> Any:
    """The dataset after a pool of ``size`` actors, each with what ``open_work`` opens, has worked on every unit."""
    with _ray_warnings_ignored():
        return dataset.map_batches(
            UnitWorker,
            fn_constructor_args=(open_work,),
            batch_size=1,  # a unit is one row
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=UNITS_AHEAD),
            max_task_retries=UNIT_RETRIES,
            **resources,
        )


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
        import ray.data

    return ray


def _connect(ray: Any, workers: Workers) -> bool:
    """Join the cluster of ``RAY_ADDRESS``, or start Ray here, unless this process has one; True where it is ours."""
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = None  # a unit is never split
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
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
