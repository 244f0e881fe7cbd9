"""How many CPU cores this process may use, which can be fewer than the machine has.

In: what the system says. Out: a number. A process may be bound to some cores (``taskset``, Slurm), or its control
group, or one around it, a share of their time (the CPU limit of a container or a service). Source: the kernel's
Documentation/admin-guide/cgroup-v2.rst, ``cpu.max``, and scheduler/sched-bwc.rst for version 1 of such groups, on
older systems. Python's own ``os.process_cpu_count`` comes with 3.13, and does not know of such a limit.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

OWN_GROUP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_LIMIT = ("cpu.max",)
_LIMIT_OF_VERSION_1 = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


def usable_cores() -> int:
    """At least one. A share of a core counts as one."""
    cores = os.cpu_count() or 1
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    return min([cores, *map(math.ceil, _shares())])


def _shares() -> Iterator[float]:
    """The limits of this process's control groups and of those that contain them, in cores."""
    try:
        groups = re.findall("^[0-9]+:(.*?):/(.*)$", OWN_GROUP.read_text(), re.MULTILINE)
    except OSError:  # no such groups
        return
    for kinds, own in groups:
        if not kinds:
            yield from _shares_up_from(GROUPS / own, _LIMIT)
        elif "cpu" in kinds.split(","):
            yield from _shares_up_from(GROUPS / "cpu" / own, _LIMIT_OF_VERSION_1)


def _shares_up_from(group: Path, files: tuple[str, ...]) -> Iterator[float]:
    """The limits of ``group`` and its parents. Its folder may be missing: a container may see its own group at the
    top."""
    for one in (group, *group.parents):
        try:
            quota, period = map(int, " ".join((one / file).read_text() for file in files).split())
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
        if quota > 0:  # -1: no limit
            yield quota / period
