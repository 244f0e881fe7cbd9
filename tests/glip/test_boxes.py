"""Box arithmetic against its definition: coding can be undone, overlaps are those of counted pixels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from glip.boxes import centerness, decode, encode, generalized_iou, pairwise_iou

ANCHOR = torch.tensor([[0.0, 0.0, 9.0, 9.0]])  # ten wide: both border pixels count


def some_boxes(count: int, seed: int) -> Tensor:
    """Of whole pixels, inside 40 x 40."""
    corners = torch.randint(0, 40, (count, 2, 2), generator=torch.Generator().manual_seed(seed)).sort(dim=1).values
    return corners.flatten(1).float()


def test_decoding_undoes_coding() -> None:
    boxes, anchors = some_boxes(200, 0), some_boxes(200, 1)
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes, rtol=1e-4, atol=1e-3)


def test_a_shift_counts_tenfold_in_sides_of_the_anchor_and_a_growth_fivefold_in_its_logarithm() -> None:
    beside, larger = torch.tensor([[10.0, 0.0, 19.0, 9.0]]), torch.tensor([[-5.0, 0.0, 14.0, 9.0]])
    torch.testing.assert_close(encode(ANCHOR, ANCHOR), torch.zeros(1, 4))
    torch.testing.assert_close(encode(beside, ANCHOR), torch.tensor([[10.0, 0.0, 0.0, 0.0]]))
    torch.testing.assert_close(encode(larger, ANCHOR), torch.tensor([[0.0, 0.0, 5 * math.log(2), 0.0]]))


def test_a_side_grows_at_most_sixty_two_and_a_half_fold() -> None:
    x1, _, x2, _ = decode(torch.tensor([[0.0, 0.0, 1e4, 0.0]]), ANCHOR)[0].tolist()
    assert x2 - x1 + 1 == pytest.approx(625.0)


def test_an_overlap_is_that_of_the_pixels_with_both_borders() -> None:
    first, second = some_boxes(20, 2), some_boxes(30, 3)
    found = pairwise_iou(first, second)
    assert found.shape == (20, 30)
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            ours, theirs = pixels(one), pixels(other)
            assert found[i, j].item() == pytest.approx(len(ours & theirs) / len(ours | theirs))


def pixels(box: Tensor) -> set[tuple[int, int]]:
    x1, y1, x2, y2 = (int(side) for side in box)
    return {(x, y) for x in range(x1, x2 + 1) for y in range(y1, y2 + 1)}


def test_the_generalised_overlap_falls_below_zero_by_the_gap_between_boxes() -> None:
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(3, 1)
    others = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 2.0], [2.0, 0.0, 3.0, 1.0]])
    torch.testing.assert_close(generalized_iou(box, others), torch.tensor([1.0, 0.5, -1 / 3]), rtol=0, atol=1e-5)


def test_a_box_whose_right_side_is_left_of_its_left_one_is_a_point_at_its_first_corner() -> None:
    found = generalized_iou(torch.tensor([[6.0, 6.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 4.0, 4.0]]))
    torch.testing.assert_close(found, torch.tensor([16 / 36 - 1]), rtol=0, atol=1e-5)


def test_boxes_without_extent_have_an_overlap_and_a_gradient() -> None:
    point = torch.tensor([[3.0, 3.0, 3.0, 3.0]], requires_grad=True)
    overlap = generalized_iou(point, point.detach())
    overlap.sum().backward()
    assert overlap.isfinite().all()
    assert point.grad is not None
    assert point.grad.isfinite().all()


def test_centerness_is_one_in_the_middle_and_nothing_at_the_border() -> None:
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0]]).repeat(3, 1)
    centres = torch.tensor([[4.0, 4.0], [2.0, 2.0], [0.0, 4.0]])
    torch.testing.assert_close(centerness(boxes, centres.repeat(1, 2)), torch.tensor([1.0, 1 / 3, 0.0]))
