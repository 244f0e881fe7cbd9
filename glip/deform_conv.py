"""Modulated deformable convolution (DCNv2, Zhu et al., CVPR 2019) in native PyTorch, 3x3 kernel, padding 1, one group.

In: a feature map, the raw offsets and masks. Out: the convolved map and its gradients, on any device.
Sampling is one `embedding_bag`: every sample is the weighted sum of four rows of the channel-last map, so neither the
four corners nor the mask product is ever held in memory. Measured the fastest of the formulations in plain PyTorch
(grid_sample, gather + bmm) forward and backward on a CPU.

Shapes: B batch, C channels in, O channels out, H W map, h w output, K = 9 kernel points, P = h*w.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_KERNEL_POINTS = 9


def deform_conv(
    map_BCHW: Tensor, offset_mask_B27HW: Tensor, weight_OC33: Tensor, bias_O: Tensor, *, stride: int = 1
) -> Tensor:
    """Deformable 3x3 convolution; always computed in float32 or wider, whatever the autocast state.

    `offset_mask_B27HW` holds for kernel point k = 3*row + column the offsets (dy, dx) in channels (2k, 2k+1) and the
    mask (before the sigmoid) in channel 18 + k. Its size need not be the output's: the published models were trained
    with a kernel that reads both buffers flat with the *output's* size, so that reinterpretation is part of the model.

    Returns: [B, O, h, w] in channels-last memory, h = ceil(H / stride).
    Raises: ValueError where the offset buffer is smaller than the output needs.
    """
    height, width = (-(-side // stride) for side in map_BCHW.shape[-2:])
    with torch.autocast(map_BCHW.device.type, enabled=False):
        wide = torch.promote_types(map_BCHW.dtype, torch.float32)
        offset_mask = offset_mask_B27HW.to(wide)
        offset_BK2P = torch.unflatten(_read_flat(offset_mask[:, :18], height * width), 1, (_KERNEL_POINTS, 2))
        mask_BKP = _read_flat(offset_mask[:, 18:], height * width).sigmoid()
        samples = _sample(map_BCHW.to(wide), offset_BK2P, mask_BKP, stride, (height, width))
        matrix = weight_OC33.to(wide).permute(2, 3, 1, 0).flatten(0, 2)
        out_BPO = torch.addmm(bias_O.to(wide), samples, matrix)
    return out_BPO.view(-1, height, width, weight_OC33.shape[0]).permute(0, 3, 1, 2)


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


def _read_flat(buffer_BCHW: Tensor, positions: int) -> Tensor:
    """[B, channels, positions]: the first channels*positions numbers of each image, whatever H and W were."""
    channels, available = buffer_BCHW.shape[1], buffer_BCHW.shape[2] * buffer_BCHW.shape[3]
    if positions > available:
        raise ValueError(f"deform_conv: the offset map has {available} positions, the output needs {positions}")
    return buffer_BCHW.flatten(1)[:, : channels * positions].view(-1, channels, positions)


def _sample(map_BCHW: Tensor, offset_BK2P: Tensor, mask_BKP: Tensor, stride: int, size_hw: tuple[int, int]) -> Tensor:
    """Bilinear samples times mask, [B*P, K*C]; corners outside the map count as zero."""
    batch, channels, map_height, map_width = map_BCHW.shape
    y_BPK, x_BPK = _positions(offset_BK2P, stride, size_hw)
    # A position further out than one pixel reads nothing, so clamping there changes no value; it keeps the
    # conversion to integers defined for any offset.
    y0, x0 = (p.detach().floor().clamp(-2, side) for p, side in ((y_BPK, map_height), (x_BPK, map_width)))
    dy, dx = y_BPK - y0, x_BPK - x0
    mask_BPK = mask_BKP.transpose(1, 2)
    rows = torch.stack((y0, y0, y0 + 1, y0 + 1), dim=-1)
    columns = torch.stack((x0, x0 + 1, x0, x0 + 1), dim=-1)
    inside = (rows >= 0) & (rows < map_height) & (columns >= 0) & (columns < map_width)
    weights = torch.stack(((1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx), dim=-1)
    weights = torch.where(inside, weights * mask_BPK.unsqueeze(-1), 0.0)
    index = (rows.clamp(0, map_height - 1) * map_width + columns.clamp(0, map_width - 1)).int()
    first_row_B = torch.arange(batch, device=index.device, dtype=torch.int32) * (map_height * map_width)
    index = index + first_row_B.view(batch, 1, 1, 1)
    table = map_BCHW.permute(0, 2, 3, 1).reshape(-1, channels)
    samples = F.embedding_bag(index.view(-1, 4), table, per_sample_weights=weights.view(-1, 4), mode="sum")
    return samples.view(-1, _KERNEL_POINTS * channels)


def _positions(offset_BK2P: Tensor, stride: int, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Row and column, [B, P, K] each, at which kernel point k of output position p reads the map."""
    height, width = size_hw
    device, dtype = offset_BK2P.device, offset_BK2P.dtype
    point_K = torch.arange(_KERNEL_POINTS, device=device)
    position_P1 = torch.arange(height * width, device=device).unsqueeze(1)
    row_PK = (position_P1 // width * stride - 1 + point_K // 3).to(dtype)
    column_PK = (position_P1 % width * stride - 1 + point_K % 3).to(dtype)
    offset_BP2K = offset_BK2P.permute(0, 3, 2, 1)
    return (offset_BP2K[:, :, 0] + row_PK).contiguous(), (offset_BP2K[:, :, 1] + column_PK).contiguous()
