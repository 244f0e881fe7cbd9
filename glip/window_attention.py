"""Self-attention inside windows (Swin Transformer, Liu et al., ICCV 2021, section 3.2).

In: the positions of every window. Out: the same, each told about the others of its window.

Shapes: B batch, W windows of L = window*window positions, C channels, h heads, d head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

# cuDNN's, which PyTorch prefers on Hopper, is planned anew for each number of windows where there is a bias.
_GPU_ATTENTION = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class WindowAttention(nn.Module):
    """Self-attention inside each window, with a learned bias per relative position."""

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", _relative_position_index(window), persistent=False)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, windows_BWLC: Tensor, region_mask_WLL: Tensor | None) -> Tensor:
        batch, count, length, dim = windows_BWLC.shape
        qkv = self.qkv(windows_BWLC).view(batch, count, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)
        bias_hLL = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if region_mask_WLL is None:
            # Windows join the batch, so that the bias broadcasts without a copy per window ...
            fold, mask = (0, 1), bias_hLL.unsqueeze(0)
        else:
            # ... or the heads, so that the mask broadcasts over images.
            fold, mask = (1, 2), (bias_hLL + region_mask_WLL.unsqueeze(1)).flatten(0, 1).unsqueeze(0)
        q, k, v = (part.flatten(*fold) for part in (q, k, v))
        out = _attend(q, k, v, mask.to(q.dtype))
        out = out.view(batch, count, self.heads, length, dim // self.heads)
        out_BWLC: Tensor = self.proj(out.transpose(2, 3).flatten(3))
        return out_BWLC


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    if q.device.type != "cpu":
        with sdpa_kernel(_GPU_ATTENTION):  # of which the first takes rows of a mask that lie in one piece alone
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask.contiguous())
    if not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    # With gradients SDPA has no fused kernel on a CPU, and its fallback spends as long on looking for rows that are
    # masked as a whole, which do not exist here, as on the softmax.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + mask
    out: Tensor = scores.softmax(dim=-1) @ v
    return out


def _relative_position_index(window: int) -> Tensor:
    """[L, L] row of the bias table for each pair of positions of a window."""
    side = torch.arange(window)
    row_L, column_L = side.repeat_interleave(window), side.repeat(window)
    rows_LL = row_L.unsqueeze(1) - row_L + window - 1
    columns_LL = column_L.unsqueeze(1) - column_L + window - 1
    return rows_LL * (2 * window - 1) + columns_LL
