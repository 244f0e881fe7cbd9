"""The most memory that a run has held so far, for its log.

In: the device that it trains on. Out: GiB.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")


def peak_memory_gb(device: torch.device) -> float:
    """The most memory held so far, in units of 2**30 bytes: on the device if it is a GPU, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return _peak_of_this_process() / 2**30


def _peak_of_this_process() -> int:
    """The peak in bytes. getrusage is only the fallback: on Linux its peak includes that of the process that started
    this one."""
    lines = STATUS.read_text().splitlines() if STATUS.is_file() else []
    found = next((line for line in lines if line.startswith("VmHWM:")), None)
    if found is not None:
        return int(found.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
