"""Runs a job of `peers.py` in processes of its own, and measures it from outside, or kills it. Linux only.

In: a command line. Out: seconds, processor time and memory of the job and of all processes below it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from job_processes import alive, descendants, kill, wait_until_gone
from processor_time import seconds_by_process

ROOT = Path(__file__).parents[1]
LOOK_EVERY_S = 0.5
# Ray lowers the priority of its workers. `glip-engine` turns that off, so it is turned off for all sides.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
ENDS_WITHIN_S = 15.0  # processes of the job may outlive it for so long


@dataclass(frozen=True)
class Run:
    """The cost of a job. ``peak_mib``: of all processes at one moment, with shared memory counted once (PSS)."""

    status: int | None
    seconds: float
    processor_seconds: float
    peak_mib: float
    printed: str = field(repr=False)


def run_job(command: Sequence[str], *, kill_when: Callable[[], bool] = lambda: False) -> Run:
    """Run the job to its end, or until it and all processes below it are killed; then its status is None."""
    seconds: dict[int, float] = {}
    peak, killed = 0.0, False
    with tempfile.TemporaryFile("w+") as printed:
        started = time.monotonic()
        environment = {**os.environ, **ENVIRONMENT}
        job = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=printed, stderr=subprocess.STDOUT)
        while not _ended(job):
            seconds |= seconds_by_process(job.pid)
            peak = max(peak, sum(map(_pss_mib, seconds)))
            if kill_when():
                kill([job.pid, *descendants(job.pid)])
                job.wait()
                killed = True
        took = time.monotonic() - started
        _end_the_rest(list(seconds), 0.0 if killed else ENDS_WITHIN_S)
        printed.seek(0)
        return Run(None if killed else job.returncode, took, sum(seconds.values()), peak, printed.read())


def _ended(job: subprocess.Popen[bytes]) -> bool:
    try:
        job.wait(LOOK_EVERY_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_the_rest(pids: Sequence[int], within_s: float) -> None:
    """Make sure that all processes of a job are gone before the next one begins."""
    deadline = time.monotonic() + within_s
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    kill(left)
    wait_until_gone(left)


def _pss_mib(pid: int) -> float:
    """The PSS of a process; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
