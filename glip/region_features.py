"""The part of a feature map under a box: its mean, and which positions lie there (X-VLM, section 3.2).

In: one map of a batch and boxes in pixels of the padded pictures. Out: a vector a box. A position counts by the share
of it that a box covers, so that a box smaller than a patch has a vector too, and gradients are exact.

Shapes: B pictures, K boxes, C channels, H W map, N = H * W positions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LEAST_PIXELS = 1e-3


def coverage(boxes_xyxy_K4: Tensor, shape_hw: tuple[int, int], stride: int) -> Tensor:
    """[K, H, W] in [0, 1]: the share of each position's ``stride`` x ``stride`` pixels that a box covers."""
    height, width = shape_hw
    rows_KH = _overlap(boxes_xyxy_K4[:, 1::2], height, stride)
    columns_KW = _overlap(boxes_xyxy_K4[:, 0::2], width, stride)
    return rows_KH.unsqueeze(2) * columns_KW.unsqueeze(1)


def _overlap(ends_K2: Tensor, length: int, stride: int) -> Tensor:
    """[K, N]: the share of each of N positions along one axis that a box covers. A box without extent, or outside the
    map, is taken as the nearest sliver inside."""
    low = ends_K2[:, :1].clamp(0, length * stride - _LEAST_PIXELS)
    high = torch.maximum(ends_K2[:, 1:].clamp(max=length * stride), low + _LEAST_PIXELS)
    start_N = torch.arange(length, device=ends_K2.device) * float(stride)
    return (torch.minimum(high, start_N + stride) - torch.maximum(low, start_N)).clamp(min=0) / stride


def region_means(map_BCHW: Tensor, image_K: Tensor, coverage_KHW: Tensor) -> Tensor:
    """[K, C]: the mean of the map of picture ``image_K`` over each box."""
    share_KHW = coverage_KHW / coverage_KHW.sum(dim=(1, 2), keepdim=True)
    return torch.einsum("khw,kchw->kc", share_KHW.to(map_BCHW.dtype), map_BCHW[image_K])


def sine_positions(shape_hw: tuple[int, int], channels: int, device: torch.device) -> Tensor:
    """[N, C] where each position is in the map, in sines of its place from 0 to 1 (DETR, Carion et al. 2020, A.4)."""
    height, width = shape_hw
    quarter = (channels + 3) // 4
    rate = 2 * math.pi * 2 ** (torch.arange(quarter, device=device) / quarter * 6)
    down_HQ, across_WQ = (((torch.arange(n, device=device) + 0.5) / n).unsqueeze(1) * rate for n in (height, width))
    down = torch.cat((down_HQ.sin(), down_HQ.cos()), dim=1).unsqueeze(1).expand(-1, width, -1)
    across = torch.cat((across_WQ.sin(), across_WQ.cos()), dim=1).unsqueeze(0).expand(height, -1, -1)
    return torch.cat((down, across), dim=2).flatten(0, 1)[:, :channels]
