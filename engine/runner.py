"""The same stages on Ray Data or in this process; the only file of the labelling job that imports ray.

In: unit references, a list of stages, and a commit that writes one unit. Out: one manifest per unit, in order of
completion. A unit stays one block from its reading to its shard. Stages of one place run in one worker process, each
opened once there; between places a unit travels as one Arrow row. Only the manifest comes back to the driver.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pyarrow as pa

from engine.unit_row import unit_from_arrow, unit_to_arrow
from schemas.records import Unit, UnitRef
from schemas.shards import ShardManifest

Work = Callable[[Unit[Any]], Sequence[Any]]
Commit = Callable[[Unit[Any]], ShardManifest]
Backend = Literal["ray", "inline"]

OBJECT_STORE_BYTES = 1 << 30  # of the Ray started here: a few units in flight; Ray spills to disk beyond it
UNITS_AHEAD = 2  # units given to a teacher worker at once: the second one lies ready when the first is done
UNIT_RETRIES = 2  # dead workers are replaced without end, but a unit that kills so many more of them ends the job
_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",  # workers are the job, not its background
}
FAILURE = "failure"  # the column by which a row tells that a stage raised
TEACHERS_PER_READER = 8  # one process reads and parses for so many teacher workers


@dataclass(frozen=True)
class Stage:
    """A step of the flow: ``open`` runs once in each worker process and gives the function that does the work.

    The function takes a unit and gives one record of type ``gives``, or one Reject, for each of the unit's records.
    ``place`` says which processes do it: ``reader`` (CPU) or ``teacher`` (one per GPU or CPU slot).
    """

    name: str
    open: Callable[[], Work]
    gives: type
    place: Literal["reader", "teacher"] = "reader"


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


class _Opened:
    """Consecutive stages, opened, in one process."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._works = [(stage.name, stage.open()) for stage in stages]

    def __call__(self, unit: Unit[Any]) -> Unit[Any]:
        for name, work in self._works:
            started = time.perf_counter()
            outcomes = work(unit)
            unit = unit.advance(name, outcomes, time.perf_counter() - started)
        return unit


def _start(ref: UnitRef) -> Unit[int]:
    return Unit(ref, tuple(range(ref.first_row, ref.first_row + ref.rows)))


def _run_inline(
    refs: Sequence[UnitRef], stages: Sequence[Stage], open_commit: Callable[[], Commit], workers: Workers
) -> Generator[ShardManifest, None, None]:
    opened, commit = _Opened(stages), open_commit()
    for ref in refs:
        yield commit(opened(_start(ref)))


# --------------------------------------------------------------------------------------------------------------- Ray


class _RayWorker:
    """What a Ray actor is: ``open_work`` runs while the actor starts, before its first unit.

    What a stage raises travels to the driver as a row of its own: exceptions come out of Ray's layers without their
    cause, and of an actor that dies at birth Ray tells none.
    """

    def __init__(self, open_work: Callable[[], Callable[[pa.Table], pa.Table]]) -> None:
        self._failure: pa.Table | None = None
        try:
            self._work = open_work()
        except Exception as error:
            self._failure = _failure_row(error)

    def __call__(self, table: pa.Table) -> pa.Table:
        if FAILURE in table.column_names:
            return table
        if self._failure is not None:
            return self._failure
        try:
            return self._work(table)
        except Exception as error:
            return _failure_row(error)


def _failure_row(error: Exception) -> pa.Table:
    kind = "ValueError" if isinstance(error, ValueError) else "RuntimeError"
    known = isinstance(error, (ValueError, RuntimeError))
    message = str(error) if known else f"{type(error).__name__}: {error}"
    return pa.table({FAILURE: [kind], "message": [message], "trace": ["".join(traceback.format_exception(error))]})


def _raise_failure(table: pa.Table) -> None:
    row = table.to_pylist()[0]
    error = (ValueError if row[FAILURE] == "ValueError" else RuntimeError)(row["message"])
    error.add_note(f"In a worker process:\n{row['trace']}")
    raise error


def _open_stages(stages: Sequence[Stage], takes: type) -> Callable[[pa.Table], pa.Table]:
    """The stages of one place, taking and giving units as Arrow."""
    opened, gives = _Opened(stages), stages[-1].gives
    return lambda table: unit_to_arrow(opened(unit_from_arrow(table, takes)), gives)


def _open_commit(open_commit: Callable[[], Commit], takes: type) -> Callable[[pa.Table], pa.Table]:
    """The commit, taking units as Arrow and giving their manifests as JSON text."""
    commit = open_commit()
    return lambda table: pa.table({"manifest": [commit(unit_from_arrow(table, takes)).model_dump_json()]})


def _run_on_ray(
    refs: Sequence[UnitRef], stages: Sequence[Stage], open_commit: Callable[[], Commit], workers: Workers
) -> Generator[ShardManifest, None, None]:
    with connected(workers) as ray:
        try:
            dataset = _flow(ray, refs, stages, open_commit, workers)
            for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                if FAILURE in batch.column_names:
                    _raise_failure(batch)
                for text in batch.column("manifest").to_pylist():
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
    """The lazy Ray dataset: one block a unit, through an actor pool for each place, to the manifests."""
    on_gpu = workers.wants_gpu and ray.cluster_resources().get("GPU", 0) >= 1
    teachers = workers.count or _worker_slots(ray, workers)
    helpers = _helpers(teachers)
    resources = {
        "reader": {"num_cpus": 0.5},
        "teacher": {"num_gpus": 1, "num_cpus": 0.5} if on_gpu else {"num_cpus": workers.threads},
    }
    dataset = ray.data.from_arrow([unit_to_arrow(_start(ref), int) for ref in refs])
    takes: type = int
    for place, group in itertools.groupby(stages, key=lambda stage: stage.place):
        members = list(group)
        size = teachers if place == "teacher" else helpers
        dataset = _map(ray, dataset, partial(_open_stages, members, takes), size, resources[place])
        takes = members[-1].gives
    return _map(ray, dataset, partial(_open_commit, open_commit, takes), helpers, resources["reader"])


def _map(ray: Any, dataset: Any, open_work: Callable[[], Any], size: int, resources: dict[str, Any]) -> Any:
    """The dataset after a pool of ``size`` actors, each with what ``open_work`` opens, has worked on every unit."""
    with _ray_warnings_ignored():
        return dataset.map_batches(
            _RayWorker,
            fn_constructor_args=(open_work,),
            batch_size=1,  # a unit is one row
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=UNITS_AHEAD),
            max_task_retries=UNIT_RETRIES,
            **resources,
        )


def _worker_slots(ray: Any, workers: Workers) -> int:
    """As many teacher workers as the GPUs, or as the CPUs beside their helpers, allow; at least one."""
    resources = ray.cluster_resources()
    if workers.wants_gpu and resources.get("GPU", 0) >= 1:
        return int(resources["GPU"])
    cpus = int(resources.get("CPU", 1))
    fitting = [count for count in range(1, cpus + 1) if _cpus_for(count, workers) <= cpus]
    return max(fitting, default=1)


def _cpus_for(teachers: int, workers: Workers) -> int:
    return teachers * workers.threads + _helpers(teachers)


def _helpers(teachers: int) -> int:
    """Size of the pool of readers, and of that of committers: each of the two takes half a CPU."""
    return -(-teachers // TEACHERS_PER_READER)


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
    slots = max(1, len(os.sched_getaffinity(0)) // workers.threads)
    with _silent_stderr():
        ray.init(
            address="local",
            num_cpus=_cpus_for(workers.count or slots, workers),
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
