"""The anchor grid: one square anchor per position of every level (ATSS, Zhang et al., CVPR 2020).

In: the sizes of the levels. Out: boxes xyxy in pixels of the padded image, level by level, row-major.

Shapes: N positions of all levels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from glip.config import GLIPConfig


def anchor_grid(level_shapes: list[tuple[int, int]], config: GLIPConfig, device: torch.device | str) -> Tensor:
    """[N, 4] float32 anchors of side anchor_scale * stride in the "+1" convention (a side s spans s - 1).

    At stride 8 and scale 8 the first anchor is [-28, -28, 35, 35].
    Raises: ValueError if the number of levels is not the config's.
    """
    if len(level_shapes) != config.num_levels:
        raise ValueError(f"anchor_grid: the config has {config.num_levels} levels, got {len(level_shapes)} shapes")
    grids = [
        _level_anchors(height, width, stride, config.anchor_scale * stride, device)
        for (height, width), stride in zip(level_shapes, config.strides, strict=True)
    ]
    return torch.cat(grids)


def level_shapes(shape_hw: tuple[int, int], config: GLIPConfig) -> list[tuple[int, int]]:
    """(H, W) of every level, finest first, for images padded to ``shape_hw``: those of the model's output."""
    height, width = shape_hw
    return [(-(-height // stride), -(-width // stride)) for stride in config.strides]


def _level_anchors(height: int, width: int, stride: int, side: float, device: torch.device | str) -> Tensor:
    row_N = torch.arange(height, device=device).repeat_interleave(width)
    column_N = torch.arange(width, device=device).repeat(height)
    centre_N2 = torch.stack((column_N, row_N), dim=1) * float(stride) + (stride - 1) / 2
    half = (side - 1) / 2
    return torch.cat((centre_N2 - half, centre_N2 + half), dim=1)
