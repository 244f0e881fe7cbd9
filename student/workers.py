"""The operations that processes of one training run do together, here for a process that trains alone.

``student/process_group.py`` has them for several processes; the training loop is the same for both.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from glip.processes import Processes


class Workers(Processes):
    """Process ``rank`` of ``size``, which trains on ``device`` (default: a GPU if there is one). This class is the only
    process of its run."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def wrap(self, model: nn.Module) -> nn.Module:
        """Wrap the model for training, so that its gradients are means over all workers. The parameters of ``model``
        may be replaced."""
        return model

    def more_parts(self, model: nn.Module) -> AbstractContextManager[object]:
        """A context for a part that is not the last of its step: its gradients need not be averaged yet."""
        return nullcontext()

    def largest(self, sides: tuple[int, int]) -> tuple[int, int]:
        """The maximum of each side over all workers."""
        return sides

    def whole(self, value: Tensor) -> Tensor:
        """The whole of a tensor of the model or the optimiser. All workers must call it together."""
        return value

    def part_of(self, value: Tensor, like: Tensor) -> Tensor:
        """This worker's part of a whole tensor, distributed like ``like``."""
        return value
