"""The training loop on a group of processes, by Ray Train: the only file of the student that knows of Ray.

Each worker runs the same loop on its share of every batch (``student/process_group.py``), so N workers take the steps
that one process takes on the same batches, to rounding. gloo on CPUs, nccl on GPUs. Where a worker dies, all start
again from the last checkpoint: as many as before, or, where ``min_workers`` allows it, as many as there is room for.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from engine.mix import Mix
from schemas.recipes import TrainRecipe
from student.process_group import DistributedWorkers, ShardedWorkers
from student.trainer import MODEL, OnCheckpoint, RunResult, run

RESULT = ".result-of-workers.json"
# The others wait while the first worker saves and evaluates a checkpoint; that one has died is Ray's to find out.
PATIENCE_S = 6 * 3600
OBJECT_STORE_BYTES = 100 << 20  # workers read their samples themselves: next to nothing travels


def run_distributed(
    recipe: TrainRecipe,
    out: Path,
    *,
    workers: int,
    identity: str,
    metadata: dict[str, Any],
    on_checkpoint: OnCheckpoint | None = None,
) -> RunResult:
    """Train by ``recipe`` into ``out`` on ``workers`` processes: a GPU each where the cluster has enough, else CPUs.

    ``out`` and the datasets must be reachable under the same paths by every worker. ``on_checkpoint`` is called by the
    first of them and must be picklable.
    """
    fewest = min(recipe.min_workers or workers, workers)
    plain = {
        "recipe": recipe.model_dump(mode="json"),
        "folder": os.getcwd(),
        "out": str(out),
        "identity": identity,
        "metadata": metadata,
        "on_checkpoint": on_checkpoint,
        "threads": max(1, (os.cpu_count() or 1) // workers),
    }
    with _ray_session(workers), TemporaryDirectory(prefix="glip-train-") as storage:
        # Of the whole cluster: the machine that starts a run need not have a GPU.
        on_gpu = ray.cluster_resources().get("GPU", 0) >= fewest
        asked = workers if fewest == workers else (fewest, workers)
        TorchTrainer(
            _worker,
            train_loop_config=plain,
            scaling_config=ScalingConfig(num_workers=asked, use_gpu=on_gpu),
            run_config=RunConfig(storage_path=storage, failure_config=FailureConfig(max_failures=recipe.max_restarts)),
            torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo", timeout_s=PATIENCE_S),
        ).fit()
    figures = json.loads((out / RESULT).read_text())
    (out / RESULT).unlink()
    return RunResult(out / MODEL, **figures)


def _worker(plain: dict[str, Any]) -> None:
    """One process of the run: the loop of ``student/trainer.py`` with what the workers tell each other."""
    os.chdir(plain["folder"])  # Ray Train moves its workers; the recipe's paths are relative to where it was started
    device = get_device()
    if device.type == "cpu":
        torch.set_num_threads(plain["threads"])
    recipe = TrainRecipe.model_validate(plain["recipe"])
    workers = ShardedWorkers(device) if recipe.strategy == "fsdp" else DistributedWorkers(device)
    mix = Mix.open(recipe.mix, recipe.seed, recipe.sampling)
    try:
        result = run(
            recipe,
            mix,
            Path(plain["out"]),
            identity=plain["identity"],
            metadata=plain["metadata"],
            workers=workers,
            on_checkpoint=plain["on_checkpoint"],
        )
    finally:
        mix.close()
    if workers.rank == 0:
        figures = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        del figures["model_folder"]
        # Ray Train keeps what a worker reports only beside a checkpoint of its own; ours is in the folder already.
        (Path(plain["out"]) / RESULT).write_text(json.dumps(figures))


@contextmanager
def _ray_session(workers: int) -> Iterator[None]:
    """The cluster of ``RAY_ADDRESS``, or one on this machine that ends with the run; one that runs already is used."""
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    address = os.environ.get("RAY_ADDRESS")
    local = {"num_cpus": max(workers, os.cpu_count() or 1), "object_store_memory": OBJECT_STORE_BYTES}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            ray.init(address="local", include_dashboard=False, **local, **quiet)
    except SystemExit:  # what Ray makes of SIGTERM in these seconds
        ray.shutdown()
        raise KeyboardInterrupt from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own in place
    try:
        yield
    finally:
        ray.shutdown()
