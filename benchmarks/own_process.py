"""Memory of processes on Linux, and a process of its own for each measurement, since none can forget its peak.

In: a function of a module and its arguments, or a process id. Out: the function's result; MiB.
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
    """The result of ``work``, called in a new process; raises what it raises."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *args, **kwargs).result()


def memory_mib(field: Literal["VmRSS", "VmHWM"], pid: int | None = None) -> float:
    """The memory of a process in MiB, now or at its peak; 0 for a zombie, OSError where the process is gone."""
    lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), 0.0)


def peak_mib() -> float:
    """The most memory that this process has had so far. Not by getrusage, whose peak includes that of the process that
    started this one."""
    return memory_mib("VmHWM")
