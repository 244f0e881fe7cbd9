"""From the host to a device, without the host waiting for what the device still has to do.

In: a tensor on the CPU. Out: its copy. A plain copy to a GPU waits until everything asked of it before is done, so one
in the midst of a batch would keep the host from asking ahead.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; to a GPU through pinned memory, which torch keeps until the copy is done."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
