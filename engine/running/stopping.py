"""Decides when a job begins no further unit: it was asked to stop, or another unit would exceed its time budget.

In: a budget in seconds, a request from a signal handler, and the durations of units. Out: yes or no. Units in progress
are always finished, so that a stop loses no work and leaves no half unit.
"""

from __future__ import annotations

import time
from collections import deque

LATEST = 64  # units from whose durations that of the next is predicted


class Stopping:
    """Asked before each unit is begun. ``budget_s`` counts in seconds from now; None for no limit."""

    def __init__(self, budget_s: float | None = None) -> None:
        self._ends_at = None if budget_s is None else time.monotonic() + budget_s
        self._took: deque[float] = deque(maxlen=LATEST)
        self.reason: str | None = None
        """The reason why no further unit is begun, as soon as there is one."""
        self.asked = False

    def request(self, reason: str) -> None:
        """Stop, for ``reason`` in a few words; safe in a signal handler."""
        self.asked = True
        self.reason = self.reason or reason

    def unit_took(self, seconds: float) -> None:
        """Record the duration of a unit, from its begin to its manifest, including the wait for its worker."""
        self._took.append(seconds)

    def now(self) -> bool:
        """Whether to begin no further unit. Until the first unit is done, durations are unknown, so that the first ones
        may exceed the budget."""
        if self.reason is None and self._ends_at is not None:
            done_at = time.monotonic() + max(self._took, default=0.0)
            self.reason = "the budget is spent" if done_at >= self._ends_at else None
        return self.reason is not None
