"""What the processes of one training run tell each other. Here: a process that trains alone.

``student/process_group.py`` has the same for several processes; the loop does not know which of them it has.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from glip.processes import Processes


class Workers(Processes):
    """One of ``size`` processes, number ``rank``, which trains on ``device``; alone, on a GPU where there is one, where
    nothing else is said."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as it is called in training; its gradients are the means over all workers. The parameters of
        ``model`` may be others afterwards."""
        return model

    def more_parts(self, model: nn.Module) -> AbstractContextManager[object]:
        """Around the passes of a part that another part of its step follows: gradients need not be averaged yet."""
        return nullcontext()

    def largest(self, sides: tuple[int, int]) -> tuple[int, int]:
        """The largest of each of two numbers over all workers."""
        return sides

    def whole(self, value: Tensor) -> Tensor:
        """A tensor of the model or the optimiser as one process has it. All workers ask together."""
        return value

    def part_of(self, value: Tensor, like: Tensor) -> Tensor:
        """A whole tensor as this worker holds it: distributed as ``like`` is."""
        return value
