"""Real processes that share the batches of a run over gloo, and what they come to: losses, gradients, weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from killed_jobs import clean_processes
from torch import Tensor

from engine.mix import Mix
from schemas.recipes import TrainRecipe
from student.parts import parts_of_step
from student.process_group import DistributedWorkers, ShardedWorkers
from student.session import Session, build
from student.step import forward_losses, train_step
from student.workers import Workers

STEPS = 2


@dataclass(frozen=True)
class Case:
    """A run that is compared. ``unlike``: losses that are told but not learned from, since they depend on the number
    of workers."""

    recipe: TrainRecipe
    unlike: tuple[str, ...] = ()


def outcome(case: Case, workers: Workers) -> dict[str, Any]:
    """Losses and whole gradients of the first batch, then of some steps the gradient norms, the whole gradients as the
    last one clipped them, and the whole weights."""
    mix = Mix.open(case.recipe.mix, case.recipe.seed, case.recipe.sampling)
    try:
        session = build(case.recipe, mix, workers)
        losses = _first_gradients(session, case)
        gradients = _whole_gradients(session)
        norms = [train_step(session, session.data.batch(step), step)["gradient_norm"] for step in range(STEPS)]
        clipped = _whole_gradients(session)
        weights = {name: workers.whole(weight.detach()) for name, weight in session.raw.named_parameters()}
    finally:
        mix.close()
    return {"losses": losses, "gradients": gradients, "norms": norms, "clipped": clipped, "weights": weights}


def _whole_gradients(session: Session) -> dict[str, Tensor]:
    return {
        name: session.workers.whole(weight.grad).clone()
        for name, weight in session.raw.named_parameters()
        if weight.grad is not None
    }


def _first_gradients(session: Session, case: Case) -> dict[str, Tensor]:
    losses: dict[str, Tensor] = {}
    for part in parts_of_step(session.data.batch(0), session.recipe, session.config, session.workers):
        mine = forward_losses(session, part)
        learned = [0.0 * loss if name in case.unlike else loss for name, loss in mine.items()]
        torch.autograd.backward(torch.stack(learned).sum())
        losses = {name: losses.get(name, 0) + session.workers.mean(loss) for name, loss in mine.items()}
    return losses


def in_two_processes(work: Callable[..., None], *arguments: Any) -> None:
    """Call ``work(rank, *arguments)`` in each, which both start from one that has imported everything."""
    clean_processes()
    mp.start_processes(work, args=arguments, nprocs=2, start_method="forkserver")


def outcomes_of_two(cases: Mapping[str, Case], folder: Path) -> dict[str, dict[str, Any]]:
    """For each case, what two processes come to that share its batches, by the recipe's strategy."""
    in_two_processes(_worker, dict(cases), str(folder))
    return {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in cases}


def _worker(rank: int, cases: dict[str, Case], folder: str) -> None:
    with one_of_two(rank, folder):
        for name, case in cases.items():
            kind = ShardedWorkers if case.recipe.strategy == "fsdp" else DistributedWorkers
            found = outcome(case, kind(torch.device("cpu")))
            if rank == 0:
                torch.save(found, Path(folder) / f"{name}.pt")


@contextmanager
def one_of_two(rank: int, folder: str) -> Iterator[None]:
    """In a process of its own, which ends with the block: one of a group of two that meet in ``folder``.

    It ends at once: Gloo's threads may still hold tensors, and letting go of them aborts a process whose interpreter
    is being torn down (https://github.com/pytorch/pytorch/pull/179291).
    """
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        yield
    finally:
        dist.destroy_process_group()
    os._exit(0)
