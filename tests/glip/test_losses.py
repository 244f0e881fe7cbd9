"""Losses: empty images, weights, untrusted boxes, normalisers, and the no-object slot."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from glip.anchors import anchor_grid
from glip.assignment import NO_BOX, assign
from glip.boxes import centerness, decode, generalized_iou
from glip.config import GLIPConfig
from glip.head import GLIPOutput
from glip.losses import GroundingTarget, find_positives, focal_losses, grounding_losses

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


def by_hand(raw: GLIPOutput, targets: list[GroundingTarget], mask_BT: Tensor) -> dict[str, Tensor]:
    """The losses anchor by anchor; a target's weights and its regress_N are there."""
    anchors = anchor_grid(SHAPES, CONFIG, "cpu")
    lengths = [height * width for height, width in SHAPES]
    logits, codes, told = (torch.cat(level, dim=1) for level in (raw.logits, raw.box_regression, raw.centerness))
    token, box, centre_of_all, centres, count = torch.zeros(5).unbind()
    for image, one in enumerate(targets):
        assert one.score_weight_N is not None
        assert one.regress_N is not None
        for anchor, number in enumerate(assign(anchors, lengths, one.boxes_xyxy_N4, CONFIG.atss_candidates).tolist()):
            mine = slice(anchor, anchor + 1)
            named = torch.zeros(len(mask_BT[image]), dtype=torch.bool)
            weight = torch.tensor(1.0)
            if number != NO_BOX:
                named, weight = one.token_map_NT[number], one.score_weight_N[number]
            counts = mask_BT[image] if one.uncertain_T is None else mask_BT[image] & (named | ~one.uncertain_T)
            losses = focal_losses(logits[image, anchor], named, alpha=CONFIG.focal_alpha, gamma=CONFIG.focal_gamma)
            token = token + weight * losses[counts].sum()
            count = count + (number != NO_BOX)
            if number == NO_BOX or not one.regress_N[number]:
                continue
            truth = one.boxes_xyxy_N4[number : number + 1]
            centre = centerness(truth, anchors[mine])
            giou = generalized_iou(decode(codes[image, mine], anchors[mine]), truth)
            box = box + (weight * centre * (1 - giou)).sum()
            unlike = torch.nn.functional.binary_cross_entropy_with_logits(told[image, mine], centre)
            centre_of_all, centres = centre_of_all + weight * unlike, centres + centre.sum()
    return {
        "loss_token": token / count,
        "loss_box": CONFIG.box_loss_weight * box / centres,
        "loss_centerness": centre_of_all / count,
    }


def test_losses_of_a_batch_are_those_of_its_anchors_one_by_one() -> None:
    """Each box with a weight of its own, some of them not regressed; uncertain words in one picture alone, and in it
    only where no box has them. Boxes that come out inside out have no extent."""
    raw = output(3, 6)
    with torch.no_grad():
        raw.box_regression[0][:, ::2, 2:] -= 40
    uncertain = torch.tensor([False, True, False, True, False, False])
    some = {"score_weight_N": torch.tensor([0.3, 0.8]), "regress_N": torch.tensor([True, False])}
    others = {"score_weight_N": torch.tensor([0.9, 0.2]), "regress_N": torch.tensor([True, True])}
    nothing = {"score_weight_N": torch.zeros(0), "regress_N": torch.zeros(0, dtype=torch.bool)}
    targets = [
        target(BOXES[::-1], 6, **some),
        target([], 6, **nothing),
        target(BOXES, 6, **others, uncertain_T=uncertain),
    ]
    mask = MASK.expand(3, -1).clone()
    mask[0, 5] = False
    wanted = by_hand(raw, targets, mask)
    for name, value in grounding_losses(raw, targets, mask, CONFIG).items():
        torch.testing.assert_close(value, wanted[name])


def test_focal_losses_and_their_gradient_are_those_of_the_paper() -> None:
    shares = torch.tensor([0.2, 0.9, 0.2, 0.9], dtype=torch.float64)
    named = torch.tensor([True, True, False, False])
    right = torch.where(named, shares, 1 - shares)
    wanted = -torch.tensor([0.25, 0.25, 0.75, 0.75]) * (1 - right) ** 2 * right.log()
    torch.testing.assert_close(focal_losses(shares.logit(), named, alpha=0.25, gamma=2.0), wanted)
    logits = shares.logit().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: focal_losses(x, named, alpha=0.25, gamma=2.0), logits)  # type: ignore[no-untyped-call]


def test_losses_of_a_bf16_answer_are_those_of_the_same_numbers_in_fp32() -> None:
    raw = output(1, 6)
    parts = [[x.detach().bfloat16() for x in xs] for xs in dataclasses.astuple(raw)[:3]]
    exact = [[x.float() for x in xs] for xs in parts]
    rounded, wanted = (
        grounding_losses(GLIPOutput(*one, SHAPES), [target(BOXES, 6)], MASK, CONFIG) for one in (parts, exact)
    )
    for name, value in rounded.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, wanted[name])


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
    raw, mask = output(1, tokens), torch.ones(1, tokens, dtype=torch.bool)
    losses = grounding_losses(raw, [target([], tokens)], mask, CONFIG)
    losses["loss_token"].backward()
    gradient = raw.logits[0].grad
    assert gradient is not None
    assert (gradient[:, :, -1] < 0).all()
    assert (gradient[:, :, :-1] > 0).all()
    raw = output(1, tokens)
    grounding_losses(raw, [target(BOXES, tokens)], mask, CONFIG)["loss_token"].backward()
    gradient = torch.cat([logits.grad for logits in raw.logits if logits.grad is not None], dim=1)
    own = find_positives(SHAPES, [target(BOXES, tokens)], CONFIG).anchor_P
    assert (gradient[0, own, -1] > 0).all(), "an anchor of a box is no anchor without an object"
    assert int((gradient[0, :, -1] < 0).sum()) == gradient.shape[1] - len(own)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "0 targets for a batch of 1"),
        ([target(BOXES, 5)], "token_map_NT"),
        ([target(BOXES, 6, score_weight_N=torch.ones(3))], "score_weight_N"),
        ([target(BOXES, 6, regress_N=torch.ones(1, dtype=torch.bool))], "regress_N"),
        ([target(BOXES, 6, uncertain_T=torch.ones(5, dtype=torch.bool))], "uncertain_T"),
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
