"""Losses: empty images, weights, untrusted boxes, normalisers, and the no-object slot."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from glip.boxes import centerness, decode, generalized_iou
from glip.config import GLIPConfig
from glip.losses import GroundingTarget, find_positives, focal_losses, grounding_losses
from glip.model import GLIPOutput

SHAPES = [(8, 8), (4, 4), (2, 2), (1, 1)]


def output(batch: int, tokens: int, seed: int = 0) -> GLIPOutput:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).requires_grad_()

    lengths = [height * width for height, width in SHAPES]
    return GLIPOutput(
        [draw(batch, n, tokens) for n in lengths],
        [draw(batch, n, 4) for n in lengths],
        [draw(batch, n) for n in lengths],
        SHAPES,
    )


def target(boxes: list[list[float]], tokens: int, **options: Tensor) -> GroundingTarget:
    token_map = torch.zeros(len(boxes), tokens, dtype=torch.bool)
    for box in range(len(boxes)):
        token_map[box, box + 1] = True
    return GroundingTarget(torch.tensor(boxes).view(-1, 4), token_map, **options)


BOXES = [[3.2, 4.1, 30.7, 28.3], [33.3, 20.2, 60.1, 62.5]]
MASK = torch.ones(1, 6, dtype=torch.bool)
CONFIG = GLIPConfig.nano()


def test_an_image_without_boxes_is_all_negative_and_gives_gradients() -> None:
    raw = output(1, 6)
    losses = grounding_losses(raw, [target([], 6)], MASK, CONFIG)
    assert losses["loss_box"].item() == 0
    assert losses["loss_centerness"].item() == 0
    logits = torch.cat(raw.logits, dim=1)
    unlike = focal_losses(logits, torch.zeros_like(logits, dtype=torch.bool), alpha=0.25, gamma=2.0)
    torch.testing.assert_close(losses["loss_token"], unlike.sum(), msg="without a positive they are divided by one")
    torch.stack(list(losses.values())).sum().backward()
    for logits in raw.logits:
        assert logits.grad is not None
        assert (logits.grad > 0).all(), "every logit of an empty image should be pushed down"


def test_padded_tokens_count_for_nothing() -> None:
    mask = MASK.clone()
    mask[0, 4:] = False
    raw, changed = output(1, 6), output(1, 6)
    for logits in changed.logits:
        logits.data[:, :, 4:] += 7
    ours, theirs = (grounding_losses(x, [target(BOXES, 6)], mask, CONFIG) for x in (raw, changed))
    assert torch.equal(ours["loss_token"], theirs["loss_token"])


def test_a_score_weight_of_zero_silences_only_the_positives_of_its_box() -> None:
    weight = torch.tensor([0.0, 0.0])
    raw = output(1, 6)
    losses = grounding_losses(raw, [target(BOXES, 6, score_weight_N=weight)], MASK, CONFIG)
    assert losses["loss_box"].item() == 0
    assert losses["loss_centerness"].item() == 0
    assert 0 < losses["loss_token"] < grounding_losses(raw, [target(BOXES, 6)], MASK, CONFIG)["loss_token"]


def test_a_box_out_of_regression_still_teaches_its_words() -> None:
    raw = output(1, 6)
    trusted = grounding_losses(raw, [target(BOXES, 6)], MASK, CONFIG)
    losses = grounding_losses(raw, [target(BOXES, 6, regress_N=torch.tensor([False, False]))], MASK, CONFIG)
    assert losses["loss_box"].item() == 0
    assert losses["loss_centerness"].item() == 0
    assert torch.equal(losses["loss_token"], trusted["loss_token"])


def test_two_halves_with_shared_normalisers_average_to_the_whole_batch() -> None:
    raw = output(2, 6)
    targets = [target(BOXES, 6), target(BOXES[:1], 6)]
    whole = grounding_losses(raw, targets, MASK.expand(2, -1), CONFIG)
    mean = sum((find_positives(SHAPES, [one], CONFIG).normalisers() for one in targets), torch.zeros(2)) / 2
    halves = [
        grounding_losses(
            GLIPOutput(*([x[half : half + 1] for x in xs] for xs in dataclasses.astuple(raw)[:3]), SHAPES),
            [targets[half]],
            MASK,
            CONFIG,
            normalisers=mean,
        )
        for half in (0, 1)
    ]
    for name, value in whole.items():
        torch.testing.assert_close((halves[0][name] + halves[1][name]) / 2, value)


def test_boxes_count_by_their_centerness_which_every_positive_has_to_tell() -> None:
    raw = output(1, 6)
    found = find_positives(SHAPES, [target(BOXES, 6)], CONFIG)
    centre = centerness(found.boxes_P4, found.anchors_P4)
    overlap = generalized_iou(
        decode(torch.cat(raw.box_regression, 1)[0, found.anchor_P], found.anchors_P4), found.boxes_P4
    )
    told = torch.cat(raw.centerness, 1)[0, found.anchor_P]
    losses = grounding_losses(raw, [target(BOXES, 6)], MASK, CONFIG)
    torch.testing.assert_close(losses["loss_box"], 2 * ((1 - overlap) * centre).sum() / centre.sum())
    torch.testing.assert_close(
        losses["loss_centerness"], torch.nn.functional.binary_cross_entropy_with_logits(told, centre)
    )
    assert centre.max() > 1.5 * centre.min()


def test_every_loss_is_divided_by_its_normaliser_however_small() -> None:
    """A lone box may have one positive anchor, far from its middle: the sum of centerness is then below one."""
    raw, small = output(1, 6), torch.tensor([0.5, 0.01])
    one, two = (
        grounding_losses(raw, [target(BOXES, 6)], MASK, CONFIG, normalisers=small * factor) for factor in (1, 2)
    )
    for name, value in one.items():
        torch.testing.assert_close(value, 2 * two[name])


def test_the_last_slot_of_a_full_prompt_means_no_object() -> None:
    tokens = CONFIG.max_tokens
    raw = output(1, tokens)
    losses = grounding_losses(raw, [target([], tokens)], torch.ones(1, tokens, dtype=torch.bool), CONFIG)
    losses["loss_token"].backward()
    gradient = raw.logits[0].grad
    assert gradient is not None
    assert (gradient[:, :, -1] < 0).all()
    assert (gradient[:, :, :-1] > 0).all()


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "0 targets for a batch of 1"),
        ([target(BOXES, 5)], "token_map_NT"),
        ([target(BOXES, 6, score_weight_N=torch.ones(3))], "score_weight_N"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets: list[GroundingTarget], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grounding_losses(output(1, 6), targets, MASK, CONFIG)


def test_words_of_what_may_be_there_without_a_box_teach_by_their_boxes_alone() -> None:
    """The word of the first box is uncertain: anchors without that box are not held against it, its own still learn."""
    uncertain = torch.zeros(6, dtype=torch.bool)
    uncertain[1] = True
    raw = output(1, 6)
    losses = grounding_losses(raw, [target(BOXES, 6, uncertain_T=uncertain)], MASK, CONFIG)
    losses["loss_token"].backward()
    gradients = torch.cat([logits.grad for logits in raw.logits if logits.grad is not None], dim=1)[0]
    positives = find_positives(SHAPES, [target(BOXES, 6)], CONFIG)
    own = positives.anchor_P[positives.token_map_PT[:, 1]]
    others = torch.ones(len(gradients), dtype=torch.bool)
    others[own] = False
    assert len(own) > 0
    assert (gradients[own, 1] < 0).all()
    assert (gradients[others, 1] == 0).all()
    plain = grounding_losses(raw, [target(BOXES, 6)], MASK, CONFIG)
    assert torch.equal(losses["loss_box"], plain["loss_box"])
    columns = torch.tensor([True, False, True, True, True, True])
    without = grounding_losses(raw, [target(BOXES, 6)], MASK & columns, CONFIG)["loss_token"]
    assert without < losses["loss_token"] < plain["loss_token"]
