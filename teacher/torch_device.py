"""Where a teacher computes, and in what precision: the words of the recipe as PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def choose_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device; ValueError where there is no such device."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("teacher.device is cuda, but this machine has no CUDA device; use auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def wants_bf16(precision: str, device: torch.device) -> bool:
    """Whether the model runs under bf16 autocast: ``auto`` is bf16 on a GPU, fp32 on a CPU."""
    return precision == "bf16" or (precision == "auto" and device.type == "cuda")


@contextmanager
def cpu_threads(device: torch.device, threads: int) -> Iterator[None]:
    """Inside the block, PyTorch computes with ``threads`` threads if the device is the CPU; afterwards with as many as
    before.

    The number is reset because it belongs to the whole process, such as a training run that evaluates along the way.
    """
    before = torch.get_num_threads()
    own = threads if device.type == "cpu" else before
    if own != before:  # each change makes a new pool of threads
        torch.set_num_threads(own)
    try:
        yield
    finally:
        if own != before:
            torch.set_num_threads(before)
