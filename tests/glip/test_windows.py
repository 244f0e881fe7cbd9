"""Windows against padding, rolling and slicing a map by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from glip.windows import cut_windows

CPU = torch.device("cpu")


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size_hw", [(8, 12), (7, 10), (3, 2), (1, 9)])
def test_cutting_pads_rolls_and_slices_and_joining_undoes_it(size_hw: tuple[int, int], shift: int) -> None:
    side, (height, width) = 4, size_hw
    x = torch.randn(2, height, width, 3)
    windows = cut_windows(2, size_hw, side, shift, CPU)
    rolled = F.pad(x, (0, 0, 0, -width % side, 0, -height % side)).roll((-shift, -shift), dims=(1, 2))
    wanted = [
        rolled[:, row : row + side, column : column + side].flatten(1, 2)
        for row in range(0, rolled.shape[1], side)
        for column in range(0, rolled.shape[2], side)
    ]
    found = windows.cut(x)
    assert torch.equal(found, torch.stack(wanted, dim=1))
    assert torch.equal(windows.join(found), x)


def test_cutting_and_joining_have_the_gradient_of_copies() -> None:
    windows = cut_windows(2, (3, 5), 4, 2, CPU)
    x = torch.randn(2, 3, 5, 1, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: windows.join(windows.cut(y).square()), (x,))


def test_only_positions_that_were_neighbours_before_the_shift_see_each_other() -> None:
    side, shift, height, width = 4, 2, 8, 12
    mask = cut_windows(1, (height, width), side, shift, CPU).region_mask_WLL
    assert mask is not None
    place = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), dim=-1)
    cut = cut_windows(1, (height, width), side, shift, CPU).cut(place.unsqueeze(0).float())[0]
    near = ((cut.unsqueeze(1) - cut.unsqueeze(2)).abs() < side).all(dim=-1)
    assert torch.equal(mask == 0, near)
    assert mask[~near].unique().tolist() == [-100.0]
    assert cut_windows(1, (height, width), side, 0, CPU).region_mask_WLL is None
