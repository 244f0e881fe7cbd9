"""Regions of a map against pixels, and where its positions are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from glip.region_features import coverage, region_means, sine_positions


def _brute_mean(map_CHW: Tensor, box: list[float], stride: int) -> Tensor:
    """The mean over quarter pixels of the map, each position as large as its stride."""
    fine = map_CHW.repeat_interleave(4 * stride, 1).repeat_interleave(4 * stride, 2)
    x1, y1, x2, y2 = (round(4 * side) for side in box)
    return fine[:, y1:y2, x1:x2].mean(dim=(1, 2))


@pytest.mark.parametrize(
    "box", [[0, 0, 32, 24], [3.25, 2.5, 29.75, 20], [9, 9, 10.5, 11], [0, 0, 8, 8], [30.5, 23, 32, 24]]
)
def test_a_region_is_the_mean_of_its_patches_by_area(box: list[float]) -> None:
    map_BCHW = torch.randn(2, 3, 3, 4, generator=torch.Generator().manual_seed(0))
    share = coverage(torch.tensor([box]), (3, 4), 8)
    assert share.sum().item() * 64 == pytest.approx((box[2] - box[0]) * (box[3] - box[1]), rel=1e-5)
    torch.testing.assert_close(region_means(map_BCHW, torch.tensor([1]), share)[0], _brute_mean(map_BCHW[1], box, 8))


@pytest.mark.parametrize("box", [[5.0, 5.0, 5.0, 9.0], [40.0, 30.0, 50.0, 40.0], [32.0, 24.0, 32.0, 24.0]])
def test_a_box_of_no_extent_or_outside_has_the_vector_of_the_nearest_patch(box: list[float]) -> None:
    share = coverage(torch.tensor([box]), (3, 4), 8)
    mean = region_means(torch.randn(1, 2, 3, 4), torch.tensor([0]), share)
    assert share.sum() > 0
    assert mean.isfinite().all()


def test_each_position_has_sines_of_its_own() -> None:
    positions = sine_positions((5, 7), 10, torch.device("cpu"))
    assert positions.shape == (35, 10)
    assert len({tuple(round(value, 4) for value in row) for row in positions.tolist()}) == 35
