"""What the processes of a run tell each other, in each of them; and how often gradients go between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from worker_groups import in_two_processes, one_of_two

from engine.mix import Mix
from schemas.recipes import TrainRecipe
from student.process_group import DistributedWorkers, ShardedWorkers
from student.session import build
from student.step import train_step

CPU = torch.device("cpu")
ROWS = {0: torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 1: torch.tensor([[5.0, 6.0, 7.0]])}
TOGETHER = torch.tensor([[1.0, 2.0, 0.0], [3.0, 4.0, 0.0], [5.0, 6.0, 7.0]])


def _told(workers: DistributedWorkers) -> dict[str, Any]:
    """What one process hears of all that it asks."""
    own = torch.tensor([1.0 + workers.rank, 10.0])
    rows = ROWS[workers.rank].clone().requires_grad_()
    gathered = workers.gather(rows)
    gathered.square().sum().backward()
    return {
        "mean": workers.mean(own),
        "own": own,
        "largest": workers.largest((3 + workers.rank, 9 - workers.rank)),
        "gathered": gathered.detach(),
        "gradient": rows.grad,
        "no rows": workers.gather(torch.zeros(0, 4)),
        "turned": workers.gather(torch.arange(6.0).reshape(2, 3).T + 10 * workers.rank),
        "texts": workers.gather_text(f"é {workers.rank}" * (1 + workers.rank)),
    }


def _shared(workers: ShardedWorkers) -> dict[str, Any]:
    """How one process holds the weights of a layer, as a whole and as its share."""
    layer = nn.Linear(4, 6, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    workers.wrap(layer)
    whole = workers.whole(layer.weight.detach())
    mine = workers.part_of(torch.arange(24.0).reshape(6, 4), layer.weight)
    return {"whole": whole, "held": layer.weight.to_local().detach(), "part": mine.to_local()}


def _process(rank: int, folder: str) -> None:
    with one_of_two(rank, folder):
        found = _told(DistributedWorkers(CPU)) | _shared(ShardedWorkers(CPU))
        torch.save(found, Path(folder) / f"{rank}.pt")


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """By each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    in_two_processes(_process, str(folder))
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_both_hear_the_same_of_both(heard: list[dict[str, Any]]) -> None:
    for rank, one in enumerate(heard):
        assert one["mean"].tolist() == [1.5, 10.0]
        assert one["own"].tolist() == [1.0 + rank, 10.0], "what is asked about is left as it was"
        assert one["largest"] == (4, 9)
        assert torch.equal(one["gathered"], TOGETHER)
        assert one["no rows"].shape == (0, 4)
        assert one["turned"].tolist() == [[0, 3], [1, 4], [2, 5], [10, 13], [11, 14], [12, 15]]
        assert one["texts"] == ["é 0", "é 1é 1"]


def test_the_gradient_of_gathered_rows_is_ones_own_times_the_processes(heard: list[dict[str, Any]]) -> None:
    for rank, one in enumerate(heard):
        assert torch.equal(one["gradient"], 2 * 2 * ROWS[rank])


def test_each_holds_its_share_of_a_layer(heard: list[dict[str, Any]]) -> None:
    everything = torch.arange(24.0).reshape(6, 4)
    for rank, one in enumerate(heard):
        assert torch.equal(one["whole"], torch.full((6, 4), 2.0))
        assert one["held"].shape == (3, 4)
        assert torch.equal(one["part"], everything[3 * rank : 3 * rank + 3])


def _exchanges(recipe: TrainRecipe) -> int:
    """How often one step sends gradients to the other processes, of which there are none here."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    mix = Mix.open(recipe.mix, recipe.seed)
    sent: list[int] = []
    try:
        session = build(recipe, mix, DistributedWorkers(CPU))
        assert isinstance(session.model, DistributedDataParallel)
        session.model.register_comm_hook(
            None, lambda _, bucket: (sent.append(bucket.index()), allreduce_hook(dist.group.WORLD, bucket))[1]
        )
        train_step(session, session.data.batch(0), 0)
    finally:
        mix.close()
        dist.destroy_process_group()
    return len(sent)


def test_parts_of_a_step_are_added_up_before_they_are_sent(small_recipe: TrainRecipe) -> None:
    once = _exchanges(small_recipe)
    assert once > 0
    assert _exchanges(small_recipe.model_copy(update={"accumulation": 4})) == once
