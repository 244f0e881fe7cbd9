"""A training run whose first worker is killed in the middle of an epoch."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PID = "worker.pid"
PATIENCE_S = 600


@dataclass(frozen=True)
class WritePid:
    """A run's ``on_checkpoint``: notes which process saved it."""

    folder: Path

    def __call__(self, steps: int, model: Path) -> None:
        (self.folder / PID).write_text(str(os.getpid()))


class Killer(threading.Thread):
    """Kills the process that wrote the pid, once, as soon as the log has gone past a step."""

    def __init__(self, folder: Path, after_step: int) -> None:
        super().__init__(daemon=True)
        self.folder, self.after_step, self.killed = folder, after_step, False

    def run(self) -> None:
        for _ in range(PATIENCE_S * 100):
            log = self.folder / "losses.jsonl"
            if (self.folder / PID).exists() and len(log.read_text().splitlines()) >= self.after_step:
                os.kill(int((self.folder / PID).read_text()), signal.SIGKILL)
                self.killed = True
                return
            time.sleep(0.01)
