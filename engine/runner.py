"""The same stages on Ray actors or in this process; the only file of labelling and evaluation that imports ray.

In: unit references, a list of stages, and a commit that writes one unit. Out: one manifest per unit, in order of
completion. Each stage is opened once in each of its worker processes; between processes a unit travels whole. Only the
manifest comes back to the driver; that of an evaluation carries the answers.

On a cluster, only ``RAY_ADDRESS`` changes (see docs/cluster.md).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext
from typing import Any, Literal

from engine.running.actor_pools import actor_pools
from engine.running.cores import usable_cores
from engine.running.layout import Workers, layout
from engine.running.reachability import check_head, check_loopback, watched_head
from engine.running.session_folder import check_session_folder, folder_of_objects
from engine.running.session_token import give_session_token
from engine.running.stages import Commit, Manifest, Stage, first_unit
from engine.running.stopping import Stopping
from engine.running.unit_flow import Lost, UnitFlow
from engine.running.unit_metrics import UnitMetrics
from engine.running.unit_worker import Failure, open_stages
from schemas.records import UnitRef

Backend = Literal["ray", "inline"]
BESIDE_A_GPU = 2  # CPUs for a teacher and its processes for reading and writing, rounded up
NOT_STARTED = (
    "Ray did not start on this machine, which may be too busy: run the same command again later, or without Ray "
    "(--inline, or training without --workers); its logs are in ray/session_latest/logs below RAY_TMPDIR, TMPDIR or "
    "/tmp"
)
NOT_JOINED = (
    "A cluster can be joined only from one of its machines. If this is none, run `ray start --address=HEAD:6379 "
    "--num-cpus=0` on it first, or set RAY_ADDRESS=ray://HEAD:10001, or let `ray job submit` run the command"
)
OBJECT_STORE_BYTES = 1 << 30  # for a Ray started here: enough for a few units; beyond it, Ray spills to disk
_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",  # workers are the job, not its background
    "RAY_prestart_worker_first_driver": "0",  # the job needs its actors and no process more
    "RAY_task_events_max_num_task_in_gcs": "100",  # records that nobody reads; 100,000 by default
}


def run(
    refs: Sequence[UnitRef],
    stages: Sequence[Stage],
    open_commit: Callable[[], Commit[Manifest]],
    *,
    backend: Backend,
    workers: Workers,
    stopping: Stopping | None = None,
    lost: Lost | None = None,
) -> Generator[Manifest, None, None]:
    """Process the units and yield the manifest of each as soon as it is committed.

    The first stage turns the row numbers of a unit into records. An exception of a stage ends the job; the units that
    were yielded are committed. Without references nothing is started. Once ``stopping`` says so, no further unit is
    begun, and those in progress are finished. ``lost`` is called for each unit that is begun again because its worker
    was lost.
    """
    stopping = stopping or Stopping()
    if refs and backend == "inline":
        yield from _run_inline(refs, stages, open_commit, stopping)
    elif refs:
        yield from _run_on_ray(refs, stages, open_commit, workers, stopping, lost)


def _run_inline(
    refs: Sequence[UnitRef], stages: Sequence[Stage], open_commit: Callable[[], Commit[Manifest]], stopping: Stopping
) -> Generator[Manifest, None, None]:
    work = open_stages(stages, open_commit)
    for ref in refs:
        if stopping.now():
            return
        began = time.monotonic()
        manifest: Manifest = work(first_unit(ref))
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
) -> Generator[Manifest, None, None]:
    with connected(workers) as ray:
        metrics = UnitMetrics(ray.util.metrics, len(refs))
        with actor_pools(ray, lambda: layout(stages, workers, ray.cluster_resources()).pools, open_commit) as start:
            for result in UnitFlow(ray, start, lost).run(refs, stopping):
                if isinstance(result, Failure):
                    raise result.error()
                metrics.count(result)
                yield result


@contextmanager
def connected(workers: Workers) -> Iterator[Any]:
    """Ray: the one this process has, the cluster of ``RAY_ADDRESS``, or one started here and shut down at the end.

    Several jobs inside the block share it. KeyboardInterrupt where SIGTERM comes while it is joined or started.
    """
    ray = _import_ray()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        # Ray puts the working directory first on its workers' search path, where a numpy.py or a folder schemas/ of the
        # user's would hide the real one.
        with warnings.catch_warnings(action="ignore"), chdir(os.sep):
            started_here = _connect(ray, workers)
    except SystemExit:  # Ray's answer to SIGTERM while it starts
        ray.shutdown()
        raise KeyboardInterrupt from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray has replaced it
    address = os.environ.get("RAY_ADDRESS")
    try:
        with watched_head(address) if started_here and address else nullcontext():
            yield ray
    finally:
        if started_here:
            ray.shutdown()


def _import_ray() -> Any:
    """Import Ray, with the environment set before so that it is quiet and sends no usage statistics."""
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings(action="ignore"):  # about its own deprecated settings, here and while it starts
        import ray
        import ray.util.metrics

    return ray


def _connect(ray: Any, workers: Workers) -> bool:
    """Join the cluster of ``RAY_ADDRESS``, or start Ray here, unless this process has one; True if this call did."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = os.environ.get("RAY_ADDRESS")
    if address:
        check_head(address)
        try:
            with _silent_stderr():
                ray.init(address=address, **quiet)
        except ConnectionError as error:
            error.add_note(NOT_JOINED)
            raise
        return True
    check_session_folder()
    check_loopback()
    give_session_token()
    slots = max(workers.count or 1, usable_cores() // workers.threads)
    try:
        with _silent_stderr():
            ray.init(
                address="local",
                num_cpus=max(slots * workers.threads, BESIDE_A_GPU if workers.wants_gpu else 1),
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                _plasma_directory=folder_of_objects(),
                **quiet,
            )
    except Exception as error:
        error.add_note(NOT_STARTED)
        raise
    return True


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Silence stderr: Ray's C++ core announces there that it was told to be quiet. Failures still raise exceptions."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
