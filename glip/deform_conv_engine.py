"""Which implementation convolves on a GPU: chosen once, when the first map on a GPU arrives.

Our Triton kernels where triton is installed and they answer as plain PyTorch does on this device; else torchvision's
operator under the same condition; else plain PyTorch. `GLIP_ENGINE_DEFORM_CONV=triton|torchvision|torch` forces one.
A map on a CPU never comes here.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable

import torch
from torch import Tensor

from glip.deform_conv_torch import deform_conv_torch, read_flat

VARIABLE = "GLIP_ENGINE_DEFORM_CONV"

# map [B, C, H, W], offsets and masks [B, 27, any size], weight [O, C, 3, 3], bias [O], stride -> [B, O, h, w]
Convolution = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]


def _by_triton(map_BCHW: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    # by the registered name: a lazy import has no place in a function that torch.compile traces
    out: Tensor = torch.ops.glip_engine.deform_conv(map_BCHW, offset_mask, weight, bias, stride)
    return out


def _by_torchvision(map_BCHW: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    height, width = (-(-side // stride) for side in map_BCHW.shape[-2:])
    offset_BK2P, mask_BKP = read_flat(offset_mask, height * width)
    offset = offset_BK2P.reshape(len(map_BCHW), 18, height, width)
    mask = mask_BKP.sigmoid().view(len(map_BCHW), 9, height, width)
    # strides, padding 1, dilation 1, one group of weights and of offsets, with masks
    out: Tensor = torch.ops.torchvision.deform_conv2d(
        map_BCHW.contiguous(), weight, offset, mask, bias, stride, stride, 1, 1, 1, 1, 1, 1, True
    )
    return out.contiguous(memory_format=torch.channels_last)


ENGINES: dict[str, Convolution] = {"triton": _by_triton, "torchvision": _by_torchvision, "torch": deform_conv_torch}
_REGISTERED_BY = {"triton": "glip.deform_conv_triton", "torchvision": "torchvision"}
_chosen: list[str] = []


def gpu_engine() -> str:
    """The key of `ENGINES` for maps on a GPU; the first call loads and tries them.

    Raises: ValueError where the variable names no engine; ImportError where the engine it forces is not installed.
    """
    if not _chosen:
        _chosen.append(choose_engine("cuda", os.environ.get(VARIABLE)))
    return _chosen[0]


# What torch.compiler.assume_constant_result sets, and all it does; calling it would import the compiler, which takes
# seconds, into every process that opens a model.
gpu_engine._dynamo_marked_constant = True  # type: ignore[attr-defined]


def choose_engine(device: str, forced: str | None) -> str:
    """`forced`, loaded; without it the first engine that is installed and answers as plain PyTorch on the device."""
    if forced:
        if forced not in ENGINES:
            raise ValueError(f"{VARIABLE}={forced}: no such engine; choose one of {', '.join(ENGINES)}")
        load(forced)
        return forced
    return next(name for name in ENGINES if name == "torch" or (is_installed(name) and _works(name, device)))


def is_installed(name: str) -> bool:
    """Whether the package that the engine runs on can be found."""
    return name == "torch" or importlib.util.find_spec(name) is not None


def load(name: str) -> None:
    """Registers the engine's operator.

    Raises: ImportError where its package is missing or does not load.
    """
    if not is_installed(name):
        raise ImportError(f"deformable convolution by {name} was asked for, and {name} is not installed")
    if name in _REGISTERED_BY:
        importlib.import_module(_REGISTERED_BY[name])


def _works(name: str, device: str) -> bool:
    """Loads the engine and tries it on a small map, forward and backward; says why where it does not work."""
    try:
        load(name)
        difference = _difference(name, device)
    except Exception as error:  # a missing compiler, a wheel for another CUDA: whatever it is, there is another engine
        logging.getLogger(__name__).warning("deformable convolution by %s does not work here: %s", name, error)
        return False
    if difference > 0.01:  # of the largest value; TF32 products differ by less
        logging.getLogger(__name__).warning("deformable convolution by %s is off by %.3g here", name, difference)
        return False
    return True


def _difference(name: str, device: str) -> float:
    """The largest difference between the engine's output and gradients and plain PyTorch's, over the largest value."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 32, 9, 7), (2, 27, 9, 7), (32, 32, 3, 3), (32,))
    answers = []
    # The first map comes in the midst of a forward pass, most often without gradients and under autocast.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device, enabled=False):
        x, offset_mask, weight, bias = (torch.randn(s, generator=generator).to(device).requires_grad_() for s in shapes)
        for engine in (ENGINES[name], deform_conv_torch):
            out = engine(x, offset_mask, weight, bias, 2)
            gradients = torch.autograd.grad(out.square().sum(), (x, offset_mask, weight, bias))
            answers.append([out.detach(), *gradients])
    pairs = zip(*answers, strict=True)
    return max(float((ours - plain).abs().max() / plain.abs().max()) for ours, plain in pairs)
