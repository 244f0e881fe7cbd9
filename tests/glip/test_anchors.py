"""The anchor grid: squares of the published size at the published places, level by level, row by row."""

from __future__ import annotations

import pytest
import torch

from glip.anchors import anchor_grid, level_shapes
from glip.config import GLIPConfig
from glip.model import GLIP

TINY = GLIPConfig.tiny()


def test_the_first_anchor_of_each_level_is_the_published_one_and_the_next_ones_go_by_column_then_row() -> None:
    shapes = [(3, 4), (2, 2), (1, 1), (1, 1), (1, 1)]
    anchors = anchor_grid(shapes, TINY, "cpu")
    assert anchors[0].tolist() == [-28, -28, 35, 35]
    assert anchors[1].tolist() == [-20, -28, 43, 35]
    assert anchors[4].tolist() == [-28, -20, 35, 43]
    assert anchors[12].tolist() == [-56, -56, 71, 71]
    assert ((anchors[:, 2:] - anchors[:, :2] + 1).unique()).tolist() == [64, 128, 256, 512, 1024]
    assert len(anchors) == sum(height * width for height, width in shapes)


def test_a_grid_of_other_levels_than_the_models_is_refused() -> None:
    with pytest.raises(ValueError, match="the config has 5 levels, got 2 shapes"):
        anchor_grid([(2, 2), (1, 1)], TINY, "cpu")


@torch.inference_mode()
def test_the_levels_are_those_of_the_models_output(small_model: GLIP) -> None:
    ids, mask = torch.ones(1, 4, dtype=torch.long), torch.ones(1, 4, dtype=torch.bool)
    for shape_hw in ((64, 96), (32, 160)):
        output = small_model(torch.zeros(1, 3, *shape_hw), ids, mask)
        assert output.level_shapes == level_shapes(shape_hw, small_model.config)
