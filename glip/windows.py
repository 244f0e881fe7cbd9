"""How a map is cut into attention windows, shifted or not, and put together again (Swin Transformer, section 3.2).

In: the size of a batch of maps. Out: for both ways the rows to gather, so that padding, cyclic shift, cutting and
cropping are one copy there and one back, whatever the shift.

Shapes: B batch, H W map, C channels, W windows of L = side*side positions, N = B*H*W positions of the maps, S = B*W*L
slots of the windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_FORBIDDEN = -100.0
_Move = Callable[[Tensor, "Windows"], Tensor]


@dataclass(frozen=True)
class Windows:
    """The windows of a batch of maps.

    map_shape: (B, H, W). window_shape: (B, W, L). position_S: the position that a slot takes, anything for padding.
    slot_N: the slot of a position. padding: the slots beyond the map. region_mask_WLL: added to attention scores, -100
    between positions that the cyclic shift brought together from different parts of the map; None without a shift.
    """

    map_shape: tuple[int, int, int]
    window_shape: tuple[int, int, int]
    position_S: Tensor
    slot_N: Tensor
    padding: Tensor
    region_mask_WLL: Tensor | None

    def cut(self, x_BHWC: Tensor) -> Tensor:
        """[B, W, L, C]; padding is zero and is not masked, as published."""
        return _moved(x_BHWC, self, _take_positions, _take_slots)

    def join(self, windows_BWLC: Tensor) -> Tensor:
        """[B, H, W, C], what lies beyond the map left out."""
        return _moved(windows_BWLC, self, _take_slots, _take_positions)


def cut_windows(batch: int, size_hw: tuple[int, int], side: int, shift: int, device: torch.device) -> Windows:
    """Windows of `side` * `side` positions of maps padded at the bottom and right, rolled up and left by `shift`."""
    height, width = size_hw
    rows, columns = height + -height % side, width + -width % side
    row_H, column_W = ((torch.arange(end, device=device) + shift) % end for end in (rows, columns))
    row_S, column_S = (
        _in_windows(place.expand(rows, columns), side).flatten() for place in (row_H.unsqueeze(1), column_W)
    )
    inside_S = (row_S < height) & (column_S < width)
    # Padding is numbered after the positions, so that the numbers are a permutation of the slots.
    number_S = torch.where(inside_S, row_S * width + column_S, height * width - 1 + (~inside_S).cumsum(0))
    slot_S = torch.empty_like(number_S).scatter_(0, number_S, torch.arange(len(number_S), device=device))
    image_B1 = torch.arange(batch, device=device).unsqueeze(1)
    return Windows(
        map_shape=(batch, height, width),
        window_shape=(batch, rows * columns // side**2, side**2),
        position_S=(torch.where(inside_S, number_S, 0) + image_B1 * (height * width)).flatten(),
        slot_N=(slot_S[: height * width] + image_B1 * len(slot_S)).flatten(),
        padding=(slot_S[height * width :] + image_B1 * len(slot_S)).flatten(),
        region_mask_WLL=_region_mask((rows, columns), side, shift, device) if shift else None,
    )


def _moved(x: Tensor, windows: Windows, there: _Move, back: _Move) -> Tensor:
    if not torch.is_grad_enabled():
        return there(x, windows)
    moved: Tensor = _Moved.apply(x, windows, there, back)  # type: ignore[no-untyped-call]
    return moved


def _take_positions(x_BHWC: Tensor, windows: Windows) -> Tensor:
    channels = x_BHWC.shape[-1]
    slots_SC = x_BHWC.reshape(-1, channels).index_select(0, windows.position_S)
    if len(windows.padding):
        slots_SC.index_fill_(0, windows.padding, 0.0)
    return slots_SC.view(*windows.window_shape, channels)


def _take_slots(windows_BWLC: Tensor, windows: Windows) -> Tensor:
    channels = windows_BWLC.shape[-1]
    positions_NC = windows_BWLC.reshape(-1, channels).index_select(0, windows.slot_N)
    return positions_NC.view(*windows.map_shape, channels)


class _Moved(torch.autograd.Function):
    """Positions moved ``there``; their gradient moves ``back``. Each position has one slot, so that cutting and joining
    are each other's gradient; autograd, which does not know it, would add row after row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, windows: Windows, there: _Move, back: _Move) -> Tensor:
        ctx.windows, ctx.back = windows, back
        return there(x, windows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.back(gradients[0], ctx.windows), None, None, None


def _in_windows(map_HW: Tensor, side: int) -> Tensor:
    """[W, L] the same numbers, window by window."""
    height, width = map_HW.shape
    tiles = map_HW.reshape(height // side, side, width // side, side)
    return tiles.transpose(1, 2).flatten(2).flatten(0, 1)


def _region_mask(size_hw: tuple[int, int], side: int, shift: int, device: torch.device) -> Tensor:
    row_H, column_W = (
        (torch.arange(end, device=device) >= end - side).int() + (torch.arange(end, device=device) >= end - shift)
        for end in size_hw
    )
    region_WL = _in_windows(3 * row_H.unsqueeze(1) + column_W, side)
    return torch.where(region_WL.unsqueeze(1) == region_WL.unsqueeze(2), 0.0, _FORBIDDEN)
