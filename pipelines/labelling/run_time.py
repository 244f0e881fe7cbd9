"""How long a run of units takes: its start, and the work from there on.

In: what each unit took, when it is done. Out: seconds. Readings are of ``time.monotonic()``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class RunTime:
    """The times at which a run was called, its first unit began and its last one ended; the latter two are None before
    a unit is done."""

    called: float = field(default_factory=time.monotonic)
    begun: float | None = None
    ended: float | None = None

    def unit_done(self, seconds: float) -> None:
        """Note that a unit has ended now, after ``seconds``."""
        self.ended = time.monotonic()
        if self.begun is None:
            self.begun = self.ended - seconds

    @property
    def seconds(self) -> float:
        """Seconds from the call to the end of the last unit; to now where no unit is done."""
        return (self.ended or time.monotonic()) - self.called

    @property
    def start_seconds(self) -> float | None:
        """Seconds from the call to the beginning of the first unit; None where no unit is done."""
        return None if self.begun is None else self.begun - self.called

    def rate(self, rows: int) -> float | None:
        """Rows a second from the beginning of the first unit to the end of the last; None where no time has passed."""
        if self.begun is None or self.ended is None or self.ended <= self.begun:
            return None
        return rows / (self.ended - self.begun)
