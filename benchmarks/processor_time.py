"""Processor time of functions and processes, which other work on the machine hardly changes.

In: a function, functions by the name of a part, or process ids. Out: seconds. Those of a part are the sum over all
threads that run it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from job_processes import descendants

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
Place = tuple[Any, str]
"""A module or class, and the name of a function in it."""


@contextmanager
def clocked_functions(parts: Mapping[str, Iterable[Place]]) -> Iterator[Counter[str]]:
    """A context with the seconds of each part's functions so far; none may call another function of its part."""
    seconds: Counter[str] = Counter()
    with ExitStack() as replaced:
        for part, places in parts.items():
            for owner, name in places:
                function = _clocked(getattr(owner, name), part, seconds)
                replaced.enter_context(patch.object(owner, name, function))
        yield seconds


def _clocked(function: Callable[..., Any], part: str, seconds: Counter[str]) -> Callable[..., Any]:
    @wraps(function)
    def clocked(*args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[part] += time.thread_time() - began  # type: ignore[assignment]

    return clocked


def processor_seconds(work: Callable[[], object]) -> float:
    """The processor seconds of this process for ``work``."""
    began = time.process_time()
    work()
    return time.process_time() - began


def seconds_by_process(pid: int) -> dict[int, float]:
    """The processor seconds so far of a process, and of each living one below it."""
    found = {one: _seconds_of(one) for one in (pid, *descendants(pid))}
    return {one: seconds for one, seconds in found.items() if seconds is not None}


def _seconds_of(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
