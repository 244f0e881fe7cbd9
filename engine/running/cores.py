"""How many CPU cores this process may use, which can be fewer than the machine has.

In: what the system says. Out: a number. A process may be bound to some cores (``taskset``, Slurm), or be given a share
of their time (the CPU limit of a container or a service). Source: the kernel's Documentation/admin-guide/cgroup-v2.rst,
``cpu.max``. Python's own ``os.process_cpu_count`` comes with 3.13, and does not know of such a limit.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

OWN_GROUP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """At least one. A share of a core counts as one."""
    cores = os.cpu_count() or 1
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    return min(cores, math.ceil(_share() or cores))


def _share() -> float | None:
    """How many cores' time the group of this process may take, None where nobody has limited it."""
    try:
        groups = dict(line.split(":", 1) for line in OWN_GROUP.read_text().splitlines())
        quota, period = (GROUPS / groups["0"].lstrip(":/") / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, KeyError):  # no such groups, or a quota of "max"
        return None
