"""The benchmark's slow side computes the same function, so that what it is compared with is the same work."""

from __future__ import annotations

import pytest
import torch
from reference_order import ground_by_loops, in_reference_order

from glip.model import GLIP
from glip.postprocess import ground


@pytest.fixture
def eager_model(small_model: GLIP) -> GLIP:
    """With weights that make every part matter: fresh ones have no offsets and hardly a score above the prior."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in small_model.rpn.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        small_model.rpn["head"].bias0.fill_(0.0)
    return small_model


def test_the_references_order_of_products_gives_the_same_answers_from_the_same_weights(eager_model: GLIP) -> None:
    reference = in_reference_order(eager_model)
    assert {id(p) for p in reference.parameters()} == {id(p) for p in eager_model.parameters()}
    images, ids = torch.randn(2, 3, 96, 64), torch.arange(2, 8).expand(2, -1)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    with torch.inference_mode():
        ours, theirs = eager_model(images, ids, mask), reference(images, ids, mask)
        again = eager_model(images, ids, mask)
    torch.testing.assert_close(ours.box_regression, theirs.box_regression, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.centerness, theirs.centerness, rtol=1e-3, atol=1e-4)
    for a, b in zip(ours.logits, theirs.logits, strict=True):
        torch.testing.assert_close(a.movedim(2, 1)[mask], b.movedim(2, 1)[mask], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(again.logits, ours.logits)  # ours is left as it was


def test_the_references_loops_over_levels_and_images_give_the_same_boxes(eager_model: GLIP) -> None:
    ids = torch.arange(2, 8).expand(2, -1)
    with torch.inference_mode():
        output = eager_model(torch.randn(2, 3, 96, 64), ids, torch.ones_like(ids, dtype=torch.bool))
    arguments = (output, [[[1], [2, 3]], [[4]]], [(90, 64), (96, 60)], [(180, 128), (48, 30)], eager_model.config)
    ours, theirs = ground(*arguments), ground_by_loops(*arguments)
    assert len(ours[0].scores_K) > 5
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.scores_K, other.scores_K)
        torch.testing.assert_close(one.boxes_xyxy_K4, other.boxes_xyxy_K4)
        assert torch.equal(one.phrase_index_K, other.phrase_index_K)
