"""Modulated deformable convolution (DCNv2, Zhu et al., CVPR 2019), 3x3 kernel, padding 1, one group.

In: a feature map, the raw offsets and masks. Out: the convolved map and its gradients, on any device. A CPU runs plain
PyTorch (deform_conv_torch.py); a GPU the engine chosen once (deform_conv_engine.py): our Triton kernels, torchvision's
operator or plain PyTorch, equal within rounding.

Shapes: B batch, C channels in, O channels out, H W map, h w output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glip.deform_conv_engine import ENGINES, gpu_engine


def deform_conv(
    map_BCHW: Tensor, offset_mask_B27HW: Tensor, weight_OC33: Tensor, bias_O: Tensor, *, stride: int = 1
) -> Tensor:
    """Deformable 3x3 convolution; positions, interpolation and sums in float32 or wider, whatever the autocast state.

    `offset_mask_B27HW` holds for kernel point k = 3*row + column the offsets (dy, dx) in channels (2k, 2k+1) and the
    mask (before the sigmoid) in channel 18 + k. Its size need not be the output's: the published models were trained
    with a kernel that reads both buffers flat with the *output's* size, so that reinterpretation is part of the model.

    Returns: [B, O, h, w] in channels-last memory, h = ceil(H / stride), float32 (float64 for a float64 map). Samples
        and weights are multiplied in autocast's type, without it in the map's, as in a plain convolution (by
        torchvision in the returned type); all other arithmetic is of the returned type, but that the Triton engine
        reads the map in the type of the products.
    Raises: ValueError where the offset buffer is smaller than the output needs.
    """
    needed, available = _output_positions(map_BCHW, stride), offset_mask_B27HW.shape[2] * offset_mask_B27HW.shape[3]
    if needed > available:
        raise ValueError(f"deform_conv: the offset map has {available} positions, the output needs {needed}")
    engine = gpu_engine() if map_BCHW.is_cuda else "torch"
    wide = torch.promote_types(map_BCHW.dtype, torch.float32)
    product = wide if engine == "torchvision" else _product_type(map_BCHW)
    read = product if engine == "triton" else wide
    with torch.autocast(map_BCHW.device.type, enabled=False):
        out_BOHW = ENGINES[engine](
            map_BCHW.to(read), offset_mask_B27HW.to(wide), weight_OC33.to(product), bias_O.to(product), stride
        )
        return out_BOHW.to(wide)


def _product_type(map_BCHW: Tensor) -> torch.dtype:
    """What autocast multiplies this map in; without autocast its own type."""
    device = map_BCHW.device.type
    if torch.is_autocast_enabled(device) and map_BCHW.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return map_BCHW.dtype


def _output_positions(map_BCHW: Tensor, stride: int) -> int:
    return -(-map_BCHW.shape[2] // stride) * -(-map_BCHW.shape[3] // stride)


class DeformConv(nn.Module):
    """The weights of one deformable convolution."""

    def __init__(self, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, map_BCHW: Tensor, offset_mask_B27HW: Tensor) -> Tensor:
        return deform_conv(map_BCHW, offset_mask_B27HW, self.weight, self.bias, stride=self.stride)
