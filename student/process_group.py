"""The processes of one training run as a ``torch.distributed`` group: each holds the whole model, or a share of it.

In: an initialised process group. Out: what the training loop asks of its workers. Gradients are averaged by
DistributedDataParallel or by FSDP (Zhao et al. 2023, arXiv 2304.11277; here PyTorch's ``fully_shard``), the
normalisers of the losses (SPEC section 10) by all-reduce.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
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
        self.rank, self.size, self.device = dist.get_rank(), dist.get_world_size(), device

    def wrap(self, model: nn.Module) -> nn.Module:
        return DistributedDataParallel(model, device_ids=[self.device] if self.device.type == "cuda" else None)

    def mean(self, value: Tensor) -> Tensor:
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def largest(self, sides: tuple[int, int]) -> tuple[int, int]:
        both = torch.tensor(sides, device=self.device)
        dist.all_reduce(both, op=dist.ReduceOp.MAX)
        height, width = both.tolist()
        return height, width


class ShardedWorkers(DistributedWorkers):
    """One of the processes, with its share of weights, gradients and moments (``fsdp``): whole blocks are gathered when
    they are computed."""

    def wrap(self, model: nn.Module) -> nn.Module:
        mesh = init_device_mesh(self.device.type, (self.size,))
        for block in blocks_of(model):
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        return model

    def whole(self, value: Tensor) -> Tensor:
        return value.full_tensor() if isinstance(value, DTensor) else value

    def part_of(self, value: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor):
            return value
        return distribute_tensor(value.to(self.device), like.device_mesh, like.placements)
