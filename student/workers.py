"""What the processes of one training run tell each other. Here: a process that trains alone.

``student/distributed.py`` has the same for several processes; the loop does not know which of them it has.
"""

from __future__ import annotations

from torch import Tensor, nn


class Workers:
    """One of ``size`` processes, number ``rank``; alone where nothing else is said."""

    rank = 0
    size = 1

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as it is called in training; its gradients are the means over all workers. The parameters of
        ``model`` may be others afterwards."""
        return model

    def mean(self, value: Tensor) -> Tensor:
        """The mean of ``value`` over all workers, without gradient."""
        return value.detach()

    def largest(self, sides: tuple[int, int]) -> tuple[int, int]:
        """The largest of each of two numbers over all workers."""
        return sides

    def whole(self, value: Tensor) -> Tensor:
        """A tensor of the model or the optimiser as one process has it. All workers ask together."""
        return value

    def part_of(self, value: Tensor, like: Tensor) -> Tensor:
        """A whole tensor as this worker holds it: distributed as ``like`` is."""
        return value
