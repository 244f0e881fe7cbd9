"""Memory of processes, as Linux tells of it, and a process of its own for what is measured: none can forget its peak.

In: a function of a module and what it takes, or a process's number. Out: what the function gives; MiB.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


def in_own_process(work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """What the work gives, done where nothing else has been done; raises what it raises."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *args, **kwargs).result()


def memory_mib(field: Literal["VmRSS", "VmHWM"], pid: int | None = None) -> float:
    """What a process holds in memory, or held at its peak; 0 of one that has ended, OSError once it is gone."""
    lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), 0.0)


def peak_mib() -> float:
    """The most memory that this process had so far. Not by getrusage, whose peak begins with that of the process which
    started this one."""
    return memory_mib("VmHWM")
