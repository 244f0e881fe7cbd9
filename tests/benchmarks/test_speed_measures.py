"""What the speed benchmarks count: FLOPs, whatever computes them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from speed_measures import count_flops
from speed_workload import Inputs
from torch import Tensor, nn


class _Attention(nn.Module):
    def forward(self, images_B3HW: Tensor, *_: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(images_B3HW, images_B3HW, images_B3HW)


@pytest.mark.parametrize("by_shapes", [True, False])
def test_attention_is_counted(by_shapes: bool) -> None:
    """Of 32 positions with 16 numbers, in two pictures of three heads: two products, two operations a multiply-add."""
    words = torch.zeros(2, 8, dtype=torch.long)
    counted = count_flops(_Attention(), Inputs(torch.zeros(2, 3, 32, 16), words, words.bool()), by_shapes=by_shapes)
    assert counted == 2 * 2 * (2 * 3 * 32 * 32 * 16)
