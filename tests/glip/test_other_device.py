"""Inference and training on a device that is not the CPU: all tensors are there, and the host waits for no value.

Fake tensors know their device, shape and type alone: an operation that mixes devices, reads a value on the host, or has
a shape that depends on a value is an error. So is seen here what a GPU would show by crashing, or by standing still.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.utils._python_dispatch import TorchDispatchMode

from glip.anchors import anchor_grid
from glip.assignment import assign
from glip.config import GLIPConfig
from glip.head import GLIPOutput
from glip.losses import GroundingTarget, Positives, grounding_losses
from glip.model import GLIP
from glip.postprocess import find_candidates, keep_best_in_one_fetch

BATCH, TOKENS, PHRASES, SIZE = 2, 16, 5, (128, 192)
DEVICE = torch.device("meta")  # any that is not the CPU; fake ones of CUDA need a torch that was built for it


@pytest.fixture(autouse=True)
def fake_tensors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # this device has none, and may not be asked
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    # Where transformers sees fake tensors, it leaves out what it would wait for on a GPU.
    monkeypatch.setattr("transformers.masking_utils.is_tracing", lambda *_: False)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.fixture
def model(small_config: GLIPConfig, fake_tensors: None) -> GLIP:
    with torch.device(DEVICE):
        return GLIP(dataclasses.replace(small_config, head_layers=1))


def answer(model: GLIP) -> GLIPOutput:
    output: GLIPOutput = model(
        torch.empty(BATCH, 3, *SIZE, device=DEVICE),
        torch.zeros(BATCH, TOKENS, dtype=torch.long, device=DEVICE),
        torch.ones(BATCH, TOKENS, dtype=torch.bool, device=DEVICE),
    )
    return output


class Fetched(Exception):  # noqa: N818
    """Values came to the host."""


def tensors(values: Any) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]


class StopAtFetch(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.device.type == "cpu" and any(one.device == DEVICE for one in tensors(args)):
            raise Fetched
        return out


class SlowForms(TorchDispatchMode):
    """Of operations that CUDA has a fast kernel for in one form alone: whether any came in another."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, bool] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, given = function.overloadpacket.__name__.strip("_"), kwargs or {}
        slow = None
        if name == "softmax":  # along another dimension a thread goes through all of it alone
            slow = args[1] % args[0].dim() < args[0].dim() - 1
        elif name == "upsample_bilinear2d":  # else a thread goes through all images and channels
            slow = not is_channels_last(args[0])
        elif name == "scaled_dot_product_attention":  # else the scores are written to memory, in float32
            slow = (args[3] if len(args) > 3 else given["attn_mask"]).stride(-1) != 1
        if slow is not None:
            self.seen[name] = self.seen.get(name, False) or slow
        return function(*args, **given)


def is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def test_boxes_are_found_on_the_device_and_fetched_at_once(model: GLIP) -> None:
    output = answer(model.eval())
    positions_BPL = torch.zeros(BATCH, PHRASES, 3, dtype=torch.long, device=DEVICE)
    candidates = find_candidates(output, positions_BPL, torch.empty(BATCH, 4, device=DEVICE), model.config, 0.0)
    assert candidates.boxes_BK4.device == DEVICE
    with StopAtFetch(), pytest.raises(Fetched):  # and no wait before it
        keep_best_in_one_fetch(candidates, model.config)


@torch.inference_mode()
def test_every_operation_comes_in_the_form_that_a_gpu_does_fast(model: GLIP) -> None:
    with SlowForms() as operations:
        answer(model.eval())
    fast = dict.fromkeys(("scaled_dot_product_attention", "softmax", "upsample_bilinear2d"), False)
    assert operations.seen == fast


def test_losses_and_gradients_stay_on_the_device(model: GLIP) -> None:
    output = answer(model.train())
    index_P = torch.zeros(7, dtype=torch.long, device=DEVICE)
    boxes_P4, ones_P = torch.empty(7, 4, device=DEVICE), torch.ones(7, device=DEVICE)
    named_PT = torch.zeros(7, TOKENS, dtype=torch.bool, device=DEVICE)
    positives = Positives(index_P, index_P, boxes_P4, boxes_P4, named_PT, ones_P, ones_P, ones_P)
    targets = [GroundingTarget(torch.empty(3, 4), torch.zeros(3, TOKENS, dtype=torch.bool)) for _ in range(BATCH)]
    mask_BT = torch.ones(BATCH, TOKENS, dtype=torch.bool, device=DEVICE)
    losses = grounding_losses(output, targets, mask_BT, model.config, positives=positives)
    torch.autograd.backward(torch.stack(list(losses.values())).sum())
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {parameter.grad.device for parameter in learned if parameter.grad is not None} == {DEVICE}


def test_anchors_are_assigned_on_the_device(small_config: GLIPConfig) -> None:
    shapes = [(16 >> level, 24 >> level) for level in range(small_config.num_levels)]
    anchors = anchor_grid(shapes, small_config, DEVICE)
    box_N = assign(anchors, [h * w for h, w in shapes], torch.empty(3, 4, device=DEVICE), small_config.atss_candidates)
    assert box_N.device == DEVICE


@pytest.mark.parametrize("waits", [lambda x: bool(x.any()), lambda x: x.sum().item()])
def test_a_wait_for_a_value_would_be_seen(waits: Any) -> None:
    with pytest.raises(DataDependentOutputException):
        waits(torch.ones(3, device=DEVICE))


def test_a_tensor_left_on_the_host_would_be_seen() -> None:
    left: Tensor = torch.ones(3)
    with pytest.raises(RuntimeError, match="device"):
        left + torch.ones(3, device=DEVICE)
