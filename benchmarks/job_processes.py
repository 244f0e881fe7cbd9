"""The processes of a running job, from `/proc`; for benchmarks and tests that watch or kill them. Linux only.

In: a process id. Out: the processes below it, their command lines, and whether they are alive.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

DEADLINE_S = 300.0


def descendants(pid: int) -> list[int]:
    """The processes below ``pid``, parents first; empty if it has ended."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except OSError:  # it has ended meanwhile
        return found
    return found


def command_line(pid: int) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def has_open(pid: int, below: Path) -> bool:
    """Whether a process has a file in the folder ``below`` open."""
    return any(path.startswith(f"{below}/") for path in _open_files(pid))


def _open_files(pid: int) -> Iterator[str]:
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it has ended meanwhile
        return
    for number in numbers:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:  # closed meanwhile
            continue


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(pids: Sequence[int]) -> None:
    """Send SIGKILL to each of the processes that exists."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wait_for(what: Callable[[], Any], job: subprocess.Popen[Any], told: str = "something") -> Any:
    """The first true value of `what()`; TimeoutError where the job ends before, or there is none in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := what()):
        if job.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(f"{told} was waited for in vain; the job ended with {job.poll()}")
        time.sleep(0.02)
    return found


def wait_until_gone(pids: Sequence[int]) -> None:
    """Wait until all processes have ended; TimeoutError where one outlives the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while left := [pid for pid in pids if alive(pid)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {left} outlive their job")
        time.sleep(0.1)
