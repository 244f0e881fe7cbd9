"""Multi-grained alignment: pooled regions against pixels, hard negatives, box from text, and a case that is learned."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from glip.boxes import generalized_iou
from glip.contrast import NO_CONCEPT
from glip.granular import GranularAlignment, VisualConcepts, box_loss, concept_pairs, hard_negatives
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


def test_hard_negatives_are_drawn_by_similarity_among_the_allowed_ones() -> None:
    torch.manual_seed(0)
    similarity = torch.tensor([[9.0, 8.0, 2.0, 2.0]]).expand(4000, 4)
    allowed = torch.tensor([[False, False, True, True]]).expand(4000, 4)
    drawn, found = hard_negatives(similarity, allowed)
    assert found.all()
    assert set(drawn.tolist()) == {2, 3}
    assert 0.45 < (drawn == 2).float().mean() < 0.55
    drawn, found = hard_negatives(similarity[:2], torch.zeros(2, 4, dtype=torch.bool))
    assert not found.any()
    drawn, _ = hard_negatives(torch.tensor([[0.0, 20.0, 0.0]]), torch.tensor([[True, True, False]]))
    assert drawn.tolist() == [1]


def test_the_box_loss_is_l1_and_giou_by_hand() -> None:
    """Off by a tenth on four sides: L1 0.4, intersection 0.16 of 0.25 and 0.25, enclosing 0.36."""
    predicted, target = torch.tensor([[0.1, 0.1, 0.6, 0.6]]), torch.tensor([[0.2, 0.2, 0.7, 0.7]])
    union = 0.5 - 0.16
    giou = 0.16 / union - (0.36 - union) / 0.36
    assert box_loss(predicted, target).item() == pytest.approx(0.4 + 1 - giou, abs=1e-5)
    assert box_loss(target, target).item() == pytest.approx(0, abs=1e-5)
    assert generalized_iou(predicted, target).item() == pytest.approx(giou, abs=1e-5)
    assert box_loss(torch.zeros(0, 4), torch.zeros(0, 4)).item() == 0


def _concepts(boxes: list[list[float]], image: list[int], whole: list[bool]) -> VisualConcepts:
    count = len(boxes)
    ids = torch.arange(count).unsqueeze(1).repeat(1, 3)
    return VisualConcepts(
        image_K=torch.tensor(image),
        boxes_xyxy_K4=torch.tensor(boxes),
        ids_KT=ids,
        mask_KT=torch.ones(count, 3, dtype=torch.bool),
        label_K=torch.arange(count).masked_fill(torch.tensor(whole), NO_CONCEPT),
        related_LL=torch.zeros(count, count, dtype=torch.bool),
        locate_K=~torch.tensor(whole),
    )


BOXES = [[0.0, 0.0, 16.0, 16.0], [16.0, 8.0, 32.0, 24.0], [0.0, 0.0, 32.0, 24.0], [0.0, 0.0, 32.0, 24.0]]


def _setting() -> tuple[GranularAlignment, Tensor, Tensor, VisualConcepts]:
    torch.manual_seed(0)
    concepts = _concepts(BOXES, [0, 1, 0, 1], [False, False, True, True])
    return GranularAlignment(16, 12), torch.randn(2, 16, 3, 4), torch.randn(4, 3, 12), concepts


def test_every_weight_and_both_towers_get_a_gradient() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    map_BCHW.requires_grad_()
    text_KTD.requires_grad_()
    losses = alignment(map_BCHW, text_KTD, concepts, 8)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(loss > 0 for loss in losses.values())
    tensors = [map_BCHW, text_KTD, *alignment.parameters()]
    assert all(one.grad is not None and bool(one.grad.isfinite().all()) for one in tensors)


def test_pictures_are_contrasted_with_captions_and_boxes_with_phrases_each_among_itself() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    mean = region_means(map_BCHW, concepts.image_K, coverage(concepts.boxes_xyxy_K4, (3, 4), 8))
    scores = alignment.similarity(alignment.vision(mean), alignment.text(text_KTD[:, 0]))
    expected = torch.zeros(())
    for kind in ([0, 1], [2, 3]):
        part = scores[kind][:, kind]
        own = torch.arange(2)
        expected = (
            expected
            + (torch.nn.functional.cross_entropy(part, own) + torch.nn.functional.cross_entropy(part.T, own)) / 2
        )
    torch.testing.assert_close(alignment(map_BCHW, text_KTD, concepts, 8)["loss_granular_contrast"], expected)


def test_patches_outside_a_box_do_not_count_for_its_match() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    one = dataclasses.replace(concepts, locate_K=torch.zeros(4, dtype=torch.bool))
    lone = VisualConcepts(**{name: getattr(one, name)[:1] for name in one.__dataclass_fields__})
    before = alignment(map_BCHW, text_KTD[:1], lone, 8)["loss_granular_match"]
    changed = map_BCHW.clone()
    changed[0, :, 2] += 5  # the lowest row of patches lies under the box of no one
    assert torch.equal(before, alignment(changed, text_KTD[:1], lone, 8)["loss_granular_match"])


def test_concepts_of_one_label_or_of_related_ones_are_no_negatives_of_each_other() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    related = torch.zeros(2, 2, dtype=torch.bool)
    apart = concept_pairs(concepts.label_K, related)
    assert torch.equal(apart.same_KK, torch.eye(4, dtype=torch.bool))
    alike = dataclasses.replace(concepts, label_K=torch.tensor([0, 0, NO_CONCEPT, NO_CONCEPT]))
    pairs = concept_pairs(alike.label_K, related)
    assert pairs.same_KK[0, 1]
    assert not pairs.same_KK[2, 3], "two pictures are not one because neither has a label"
    assert not hard_negatives(torch.zeros(4, 4), pairs.kind_KK & ~pairs.same_KK)[1][:2].any()
    assert alignment(map_BCHW, text_KTD, alike, 8)["loss_granular_match"].isfinite()
    kin = concept_pairs(concepts.label_K, ~torch.eye(2, dtype=torch.bool))
    assert kin.related_KK.int().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0] * 4, [0] * 4]


def test_nothing_to_align_gives_zeros_with_gradients() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    map_BCHW.requires_grad_()
    rows = {name: getattr(concepts, name)[:0] for name in concepts.__dataclass_fields__}
    losses = alignment(map_BCHW, text_KTD[:0], VisualConcepts(**rows), 8)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(loss.item() == 0 for loss in losses.values())
    assert all(tensor.grad is not None and not tensor.grad.any() for tensor in [map_BCHW, *alignment.parameters()])


def test_a_similarity_that_is_no_number_does_not_end_the_run() -> None:
    drawn, found = hard_negatives(torch.full((2, 2), float("nan")), ~torch.eye(2, dtype=torch.bool))
    assert found.all()
    assert set(drawn.tolist()) <= {0, 1}


def test_a_batch_is_learned_by_heart() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    optimizer = torch.optim.Adam(alignment.parameters(), lr=0.01)
    history = []
    for _ in range(80):
        optimizer.zero_grad()
        losses = alignment(map_BCHW, text_KTD, concepts, 8)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    assert all(history[-1][name] < 0.3 * history[0][name] for name in history[0])
