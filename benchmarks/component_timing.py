"""Where the time of a GLIP forward pass goes: seconds per component, by hooks on its modules.

In: a model. Out: a context in which every forward pass adds up seconds. "Deformable convolution" is part of "dynamic
head". On a GPU every hook waits for the device, so the sum is more than the time of an undisturbed pass.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from glip.model import GLIP

Result = TypeVar("Result")
CPU = torch.device("cpu")
COMPONENTS = ("backbone", "FPN", "BERT", "fusion", "language layers", "dynamic head", "deformable convolution")


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def timed_components(model: GLIP, device: torch.device) -> Iterator[dict[str, float]]:
    """A context that sums the seconds per component of the forward passes inside it."""
    seconds: dict[str, float] = dict.fromkeys(COMPONENTS, 0.0)
    running: dict[nn.Module, float] = {}

    def start(module: nn.Module, *_: Any) -> None:
        synchronise(device)
        running[module] = time.perf_counter()

    def stop(component: str, module: nn.Module, *_: Any) -> None:
        synchronise(device)
        seconds[component] += time.perf_counter() - running.pop(module)

    handles = []
    for component, module in _modules(model):
        handles.append(module.register_forward_pre_hook(start))
        handles.append(module.register_forward_hook(partial(stop, component)))
    try:
        yield seconds
    finally:
        for handle in handles:
            handle.remove()


def clocked(work: Callable[[], Result], device: torch.device = CPU) -> tuple[Result, float]:
    """The result of ``work``, and its seconds until the device is done."""
    synchronise(device)
    started = time.perf_counter()
    result = work()
    synchronise(device)
    return result, time.perf_counter() - started


def machine() -> dict[str, Any]:
    """The facts about the machine that figures are measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    cpu = f"{os.cpu_count()} x {platform.processor() or platform.machine()}"
    found = {"torch": torch.__version__, "threads": torch.get_num_threads(), "cpu": cpu, "gpu": gpu}
    if gpu is not None:  # of what is called fp32
        tf32 = {"products": torch.backends.cuda.matmul.allow_tf32, "convolutions": torch.backends.cudnn.allow_tf32}
        found["tf32"] = tf32
    return found


def _modules(model: GLIP) -> Iterator[tuple[str, nn.Module]]:
    yield "backbone", model.backbone.body
    yield "FPN", model.backbone.fpn
    yield "BERT", model.language_backbone
    for number, layer in enumerate(model.get_submodule("rpn.head.dyhead_tower").children()):
        yield ("fusion", "language layers", "dynamic head")[number % 3], layer
        if number % 3 == 2:
            for convolution in layer.get_submodule("DyConv").children():
                yield "deformable convolution", convolution.get_submodule("conv")
