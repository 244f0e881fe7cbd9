"""When a job begins no further unit: it was asked to stop, or a unit begun now would not be done in the time it has.

In: a budget in seconds, a request from a signal handler, and how long units took. Out: yes or no. What has been begun
is always finished: a stop costs no work and leaves no half unit.
"""

from __future__ import annotations

import time
from collections import deque

LATEST = 64  # units whose times foretell that of the next


class Stopping:
    """Asked before each unit is begun. ``budget_s`` counts from now; no budget is never spent."""

    def __init__(self, budget_s: float | None = None) -> None:
        self._ends_at = None if budget_s is None else time.monotonic() + budget_s
        self._took: deque[float] = deque(maxlen=LATEST)
        self.reason: str | None = None
        """Why no further unit is begun, once that is so."""
        self.asked = False

    def request(self, reason: str) -> None:
        """Stop, for ``reason`` in a few words; safe in a signal handler."""
        self.asked = True
        self.reason = self.reason or reason

    def unit_took(self, seconds: float) -> None:
        """From being begun to its manifest, the waiting for its worker included."""
        self._took.append(seconds)

    def now(self) -> bool:
        """Whether no unit is to be begun. Before the first unit is done nothing is known of their length: of these
        few the budget may be overrun."""
        if self.reason is None and self._ends_at is not None:
            done_at = time.monotonic() + max(self._took, default=0.0)
            self.reason = "the budget is spent" if done_at >= self._ends_at else None
        return self.reason is not None
