"""The processes of one training run as a ``torch.distributed`` group: each holds the whole model, or a share of it.

In: an initialised process group. Out: the methods of :class:`~student.workers.Workers`. Gradients are averaged by
DistributedDataParallel or by FSDP (Zhao et al. 2023, arXiv 2304.11277; here PyTorch's ``fully_shard``), the
normalisers of the losses (SPEC section 10) by all-reduce.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from student.memory import blocks_of
from student.workers import Workers


class DistributedWorkers(Workers):
    """One of the processes, with the whole model (``ddp``)."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def wrap(self, model: nn.Module) -> nn.Module:
        return DistributedDataParallel(model, device_ids=[self.device] if self.device.type == "cuda" else None)

    def more_parts(self, model: nn.Module) -> AbstractContextManager[object]:
        return model.no_sync() if isinstance(model, DistributedDataParallel) else super().more_parts(model)

    def mean(self, value: Tensor) -> Tensor:
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def largest(self, sides: tuple[int, int]) -> tuple[int, int]:
        both = torch.tensor(sides, device=self.device)
        dist.all_reduce(both, op=dist.ReduceOp.MAX)
        height, width = both.tolist()
        return height, width

    def gather(self, rows: Tensor) -> Tensor:
        mine = torch.tensor(rows.shape, device=self.device)
        shapes = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(shapes, mine)
        counts, *sides = zip(*(shape.tolist() for shape in shapes), strict=True)
        sent = _filled_up(rows, [max(1, *counts), *map(max, sides)])
        received = [torch.empty_like(sent) for _ in range(self.size)]
        dist.all_gather(received, sent.detach().contiguous())
        if sent.requires_grad:
            sent.register_hook(lambda gradient: gradient * self.size)  # type: ignore[no-untyped-call]
        received[self.rank] = sent
        return torch.cat([part[:count] for part, count in zip(received, counts, strict=True)])

    def gather_text(self, text: str) -> list[str]:
        lines = torch.frombuffer(bytearray((text + "\0").encode()), dtype=torch.uint8).to(self.device)
        return bytes(self.gather(lines).tolist()).decode().split("\0")[:-1]


def _filled_up(rows: Tensor, shape: list[int]) -> Tensor:
    """``rows`` padded with zeros at the end of each dimension, to ``shape``."""
    ends = [(0, wanted - have) for wanted, have in zip(shape, rows.shape, strict=True)]
    return F.pad(rows, [end for pair in reversed(ends) for end in pair])


class ShardedWorkers(DistributedWorkers):
    """One of the processes, with its share of weights, gradients and moments (``fsdp``): the weights of a block are
    gathered when it is computed."""

    def wrap(self, model: nn.Module) -> nn.Module:
        mesh = init_device_mesh(self.device.type, (self.size,))
        for module in (*blocks_of(model), model):
            sharded = fully_shard(module, mesh=mesh)
            if self.device.type == "cpu":  # with torch 2.8, gloo's mean of gradients is their sum
                sharded.set_force_sum_reduction_for_comms(True)
        return model

    def whole(self, value: Tensor) -> Tensor:
        return value.full_tensor() if isinstance(value, DTensor) else value

    def part_of(self, value: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor):
            return value
        return distribute_tensor(value.to(self.device), like.device_mesh, like.placements)
