"""What the losses ask of the processes that share a batch: how many there are, sums over all, and rows of all.

In: a tensor of one process. Out: a tensor of all. Here: a process that is alone; ``student/process_group.py`` has the
same for several.
"""

from __future__ import annotations

from torch import Tensor


class Processes:
    """One of ``size`` processes, number ``rank``, that share the pictures of a batch; alone where nothing else is said.
    Every method that exchanges something is called by all processes together."""

    rank: int = 0
    size: int = 1

    def mean(self, value: Tensor) -> Tensor:
        """The mean of ``value`` over all processes, without gradient."""
        return value.detach()

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, in order of rank; their number may differ, and other sides are filled up with
        zeros to the largest.

        What is computed from them must be the same in every process. The gradient goes into a process's own rows, times
        ``size``: averaged over the processes, it is then that of one process with all rows.
        """
        return rows

    def gather_text(self, text: str) -> list[str]:
        """The text of each process, in order of rank."""
        return [text]


ALONE = Processes()
