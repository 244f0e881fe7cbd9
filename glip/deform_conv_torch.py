"""Modulated deformable convolution in plain PyTorch, for any device: what a CPU runs and what every engine must equal.

In: a map, the raw offsets and masks, float32 or float64, and weight and bias, of the same type or a narrower one, in
which samples and weights are multiplied then. Out: the convolved map, in the type of the weights.
Sampling is one `embedding_bag`: every sample is the weighted sum of four rows of the channel-last map, so neither the
four corners nor the mask product is ever held in memory; the gradient of the map is another. Without gradients a CPU
makes the columns for some positions at a time, which stay in its cache until they are multiplied.

Shapes: B batch, C channels in, O channels out, H W map, h w output, K = 9 kernel points, P = h*w, R = B*P rows,
S = R*K samples, N = B*H*W rows of the table.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_KERNEL_POINTS = 9
_CACHED_ROWS = 1024  # their columns, 9 * 256 float32 each, are 9 MB


def deform_conv_torch(
    map_BCHW: Tensor, offset_mask_B27HW: Tensor, weight_OC33: Tensor, bias_O: Tensor, stride: int
) -> Tensor:
    """[B, O, h, w] in channels-last memory; the arguments are those of `glip.deform_conv.deform_conv`."""
    batch, channels, map_height, map_width = map_BCHW.shape
    height, width = -(-map_height // stride), -(-map_width // stride)
    offset_BK2P, mask_BKP = read_flat(offset_mask_B27HW, height * width)
    index_R4, weights_R4 = _corners(offset_BK2P, mask_BKP.sigmoid(), stride, width, (map_height, map_width))
    table = map_BCHW.permute(0, 2, 3, 1).reshape(-1, channels)
    matrix = weight_OC33.permute(2, 3, 1, 0).flatten(0, 2)
    with_gradients = torch.is_grad_enabled() and any(
        x.requires_grad for x in (map_BCHW, offset_mask_B27HW, weight_OC33, bias_O)
    )
    rows = batch * height * width
    at_once = _CACHED_ROWS if map_BCHW.device.type == "cpu" and not with_gradients else max(rows, 1)
    samples_at_once = at_once * _KERNEL_POINTS
    parts = [
        torch.addmm(bias_O, _columns(table, index, weights).to(bias_O.dtype), matrix)
        for index, weights in zip(
            torch.split(index_R4, samples_at_once), torch.split(weights_R4, samples_at_once), strict=True
        )
    ]
    return torch.cat(parts).view(batch, height, width, len(weight_OC33)).permute(0, 3, 1, 2)


def read_flat(offset_mask_B27HW: Tensor, positions: int) -> tuple[Tensor, Tensor]:
    """Offsets [B, K, 2, P] and masks [B, K, P]: the first numbers of each image's buffer, whatever H and W were."""
    offset_B18 = offset_mask_B27HW[:, :18].flatten(1)[:, : 2 * _KERNEL_POINTS * positions]
    mask_B9 = offset_mask_B27HW[:, 18:].flatten(1)[:, : _KERNEL_POINTS * positions]
    batch = len(offset_mask_B27HW)
    return offset_B18.view(batch, _KERNEL_POINTS, 2, positions), mask_B9.view(batch, _KERNEL_POINTS, positions)


def _columns(table_NC: Tensor, index_S4: Tensor, weights_S4: Tensor) -> Tensor:
    """Bilinear samples times mask, [rows, K*C], of [rows*K, 4] indices into the table and their weights."""
    by_hand = table_NC.device.type == "cpu" and table_NC.requires_grad
    source_NC = table_NC.detach() if by_hand else table_NC
    samples_SC = F.embedding_bag(index_S4, source_NC, per_sample_weights=weights_S4, mode="sum")
    if by_hand:
        samples_SC = _TableGradient.apply(  # type: ignore[no-untyped-call]
            samples_SC, table_NC, index_S4, weights_S4.detach()
        )
    return samples_SC.view(-1, _KERNEL_POINTS * table_NC.shape[1])


class _TableGradient(torch.autograd.Function):
    """Passes samples on, and their gradient to the table they were taken from: each row is the weighted sum of the
    samples that took it. `embedding_bag` would add every sample to its rows, which is slow on a CPU."""

    @staticmethod
    def forward(ctx: Any, samples_SC: Tensor, table_NC: Tensor, index_S4: Tensor, weights_S4: Tensor) -> Tensor:
        ctx.save_for_backward(index_S4, weights_S4)
        ctx.rows = len(table_NC)
        return samples_SC.view_as(samples_SC)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        gradient_SC = gradients[0].contiguous()
        index, weights = (saved.flatten() for saved in ctx.saved_tensors)
        by_row = index.argsort(stable=True)
        counts_N = torch.bincount(index, minlength=ctx.rows)
        table_gradient_NC = F.embedding_bag(
            by_row // 4, gradient_SC, counts_N.cumsum(0) - counts_N, per_sample_weights=weights[by_row], mode="sum"
        )
        return gradient_SC, table_gradient_NC, None, None


def _corners(
    offset_BK2P: Tensor, mask_BKP: Tensor, stride: int, width: int, map_hw: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """For every sample the rows of its four corners in the flattened map, [R*K, 4], and their weights times mask."""
    map_height, map_width = map_hw
    batch, _, _, positions = offset_BK2P.shape
    device = mask_BKP.device
    point_K = torch.arange(_KERNEL_POINTS, device=device)
    position_P1 = torch.arange(positions, device=device).unsqueeze(1)
    offset_2BPK = offset_BK2P.permute(2, 0, 3, 1).contiguous()
    y_BPK = offset_2BPK[0] + (position_P1 // width * stride - 1 + point_K // 3)
    x_BPK = offset_2BPK[1] + (position_P1 % width * stride - 1 + point_K % 3)
    top, bottom, top_weight, bottom_weight = _neighbours(y_BPK, map_height)
    left, right, left_weight, right_weight = _neighbours(x_BPK, map_width)
    first_row = torch.arange(batch, device=device, dtype=torch.int32).view(-1, 1, 1) * (map_height * map_width)
    top, bottom = top * map_width + first_row, bottom * map_width + first_row
    index = torch.stack((top + left, top + right, bottom + left, bottom + right), dim=-1)
    mask_BPK = mask_BKP.transpose(1, 2)
    top_weight, bottom_weight = top_weight * mask_BPK, bottom_weight * mask_BPK
    weights = torch.stack(
        (
            top_weight * left_weight,
            top_weight * right_weight,
            bottom_weight * left_weight,
            bottom_weight * right_weight,
        ),
        dim=-1,
    )
    return index.view(-1, 4), weights.view(-1, 4)


def _neighbours(position: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The whole coordinates before and after each position, held inside [0, side), and their linear weights.

    A neighbour outside weighs nothing, and so does everything at -1 or further out, gradients included.
    """
    # A position further out than one pixel reads nothing, so clamping there changes no value; it keeps the
    # conversion to integers defined for any offset.
    before = position.detach().floor().clamp(-2, side)
    fraction = position - before
    before_weight = torch.where((before >= 0) & (before < side), 1 - fraction, 0.0)
    after_weight = torch.where((position > -1) & (before < side - 1), fraction, 0.0)
    before = before.int()
    return before.clamp(0, side - 1), (before + 1).clamp(0, side - 1), before_weight, after_weight
