"""ATSS against the paper's own steps, box by box and anchor by anchor."""

from __future__ import annotations

import math
from statistics import mean, stdev

import pytest
import torch

from glip.assignment import NO_BOX, assign
from glip.boxes import pairwise_iou

LEVELS = ((8, 8), (4, 16))  # cells along a side, and their size in pixels
LENGTHS = [cells * cells for cells, _ in LEVELS]
ANCHORS = torch.tensor(
    [
        (x * step - 1.5 * step, y * step - 1.5 * step, x * step + 2.5 * step, y * step + 2.5 * step)
        for cells, step in LEVELS
        for y in range(cells)
        for x in range(cells)
    ],
    dtype=torch.float64,
)


def by_the_paper(boxes: torch.Tensor, candidates: int) -> list[int]:
    """Algorithm 1 of Zhang et al., CVPR 2020, section 3.1; of two boxes an anchor goes to the one it overlaps more."""
    best = [(-1.0, NO_BOX)] * len(ANCHORS)
    overlap = pairwise_iou(ANCHORS, boxes).tolist()
    centres = [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in ANCHORS.tolist()]
    for number, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        middle, near, start = ((x1 + x2) / 2, (y1 + y2) / 2), [], 0
        for length in LENGTHS:
            level = range(start, start + length)
            near += sorted(level, key=lambda anchor: math.dist(centres[anchor], middle))[:candidates]
            start += length
        least = mean(overlap[one][number] for one in near) + stdev(overlap[one][number] for one in near)
        for anchor in near:
            x, y = centres[anchor]
            inside = min(x - x1, y - y1, x2 - x, y2 - y) > 0.01
            if inside and overlap[anchor][number] >= least and overlap[anchor][number] > best[anchor][0]:
                best[anchor] = (overlap[anchor][number], number)
    return [number for _, number in best]


@pytest.mark.parametrize("candidates", [3, 9])
@pytest.mark.parametrize("seed", range(8))
def test_anchors_answer_for_the_boxes_that_the_paper_gives_them(seed: int, candidates: int) -> None:
    """Boxes of all sizes, some smaller than a cell, some of them over one another."""
    generator = torch.Generator().manual_seed(seed)
    corners = 56 * torch.rand(12, 2, generator=generator, dtype=torch.float64)
    sides = 3 + 45 * torch.rand(12, 2, generator=generator, dtype=torch.float64) ** 1.5
    boxes = torch.cat((corners, corners + sides), dim=1)
    found = assign(ANCHORS, LENGTHS, boxes, candidates).tolist()
    assert found == by_the_paper(boxes, candidates)
    assert len(set(found)) > 2, "of the boxes several have an anchor"


def test_a_lone_candidate_is_as_good_as_the_mean_of_all_and_its_centre_lies_a_hundredth_inside() -> None:
    one, grid = ANCHORS[9:10], [1]
    (x, y) = ((one[0, :2] + one[0, 2:]) / 2).tolist()
    for margin, found in ((0.02, 0), (0.005, NO_BOX)):
        box = torch.tensor([[x - margin, y - 20.0, x + 20.0, y + 20.0]], dtype=torch.float64)
        assert assign(one, grid, box, 9).tolist() == [found]


def test_without_a_box_no_anchor_answers() -> None:
    assert assign(ANCHORS, LENGTHS, torch.zeros(0, 4, dtype=torch.float64), 9).tolist() == [NO_BOX] * len(ANCHORS)
