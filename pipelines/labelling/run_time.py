"""How long a run of units takes: its start, and the work from there on.

In: what each unit took, when it is done. Out: seconds. Readings are of ``time.monotonic()``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class RunTime:
    """When a run was called for, its first unit was begun and its last one was done; the latter None without a unit."""

    called: float = field(default_factory=time.monotonic)
    begun: float | None = None
    ended: float | None = None

    def unit_done(self, seconds: float) -> None:
        """A unit that took so long is done now."""
        self.ended = time.monotonic()
        if self.begun is None:
            self.begun = self.ended - seconds

    @property
    def seconds(self) -> float:
        """To the end of the last unit; to now without one."""
        return (self.ended or time.monotonic()) - self.called

    @property
    def start_seconds(self) -> float | None:
        """Before the first unit was begun."""
        return None if self.begun is None else self.begun - self.called

    def rate(self, rows: int) -> float | None:
        """Rows a second from the begin of the first unit to the end of the last; None before any time has passed."""
        if self.begun is None or self.ended is None or self.ended <= self.begun:
            return None
        return rows / (self.ended - self.begun)
