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
    """The most memory that was held so far, 2**30 bytes: of the device where that is a GPU, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return _peak_of_this_process() / 2**30


def _peak_of_this_process() -> int:
    """In bytes. By getrusage only where nothing else tells: on Linux its peak begins with that of the process which
    started this one."""
    lines = STATUS.read_text().splitlines() if STATUS.is_file() else []
    found = next((line for line in lines if line.startswith("VmHWM:")), None)
    if found is not None:
        return int(found.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
