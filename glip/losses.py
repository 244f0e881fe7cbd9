"""Grounding losses: word-region alignment, boxes, centerness (GLIP section 3.1, ATSS section 4).

In: the model's raw output and the boxes of each image with the tokens that name them. Out: named scalars; the loss of
a step is their sum.

Shapes: B images, T tokens, N boxes of one image in a GroundingTarget and anchors everywhere else, M boxes of one image,
P positive anchors of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from glip import boxes as box_math
from glip.anchors import anchor_grid
from glip.assignment import NO_BOX, assign
from glip.config import GLIPConfig
from glip.head import GLIPOutput


@dataclass(frozen=True)
class GroundingTarget:
    """What one image should give.

    boxes_xyxy_N4: float pixels of the padded (resized) image; N may be 0, then every anchor is a negative.
    token_map_NT: bool, the tokens of the prompt that name each box; T as in the batch's token ids.
    score_weight_N: factor on every loss of the anchors of a box (a pseudo-label's score); None is 1.
    regress_N: false takes a box out of the box and centerness losses (a box not trusted that far); None is true.
    uncertain_T: bool, tokens of what may be in the picture without a box (classes annotated in part, say): where no box
    has them they count for nothing, instead of as not there. None is none.
    """

    boxes_xyxy_N4: Tensor
    token_map_NT: Tensor
    score_weight_N: Tensor | None = None
    regress_N: Tensor | None = None
    uncertain_T: Tensor | None = None


@dataclass(frozen=True)
class Positives:
    """The positive anchors of a batch with their boxes and targets.

    `image` and `anchor` index [B, N]. centerness_P: the target, 0 where regress_P is false. All fields follow from the
    targets and the sizes of the pictures, none from the model's answers.
    """

    image_P: Tensor
    anchor_P: Tensor
    anchors_P4: Tensor
    boxes_P4: Tensor
    token_map_PT: Tensor
    weight_P: Tensor
    regress_P: Tensor
    centerness_P: Tensor

    def normalisers(self) -> Tensor:
        """[2] float32, what the losses are divided by: the number of anchors, and the sum of their centerness."""
        return torch.stack((self.centerness_P.new_full((), len(self.centerness_P)), self.centerness_P.sum()))


def grounding_losses(
    output: GLIPOutput,
    targets: list[GroundingTarget],
    attention_mask_BT: Tensor,
    config: GLIPConfig,
    *,
    positives: Positives | None = None,
    normalisers: Tensor | None = None,
) -> dict[str, Tensor]:
    """`loss_token`, `loss_box`, `loss_centerness`, float32 scalars, weighted: add them up.

    positives: what :func:`find_positives` gives for these arguments, where it is known already.

    normalisers: where this is a part of a larger batch, the [2] :meth:`Positives.normalisers` of all of it, divided by
    the number of processes that share it; the first is above 0. None: those of these targets, at least one anchor.

    Raises: ValueError if the targets do not fit the output's batch size or number of tokens.
    """
    _check_targets(output, targets)
    positives = positives or find_positives(output.level_shapes, targets, config, output.logits[0].device)
    count, centerness = (positives.normalisers() if normalisers is None else normalisers).unbind()
    if normalisers is None:
        count = count.clamp(min=1)
    centerness_P = positives.centerness_P
    predicted_P = torch.cat(output.centerness, dim=1)[positives.image_P, positives.anchor_P].float()
    codes_P4 = torch.cat(output.box_regression, dim=1)[positives.image_P, positives.anchor_P].float()
    giou_P = _round_trip_giou(codes_P4, positives.boxes_P4, positives.anchors_P4)
    box_losses_P = (1 - giou_P) * centerness_P * positives.weight_P
    centerness_losses_P = F.binary_cross_entropy_with_logits(predicted_P, centerness_P, reduction="none")
    return {
        "loss_token": _token_loss(output, targets, positives, attention_mask_BT, config) / count,
        "loss_box": config.box_loss_weight * box_losses_P.sum() / centerness.clamp(min=1e-6),
        "loss_centerness": (centerness_losses_P * positives.weight_P * positives.regress_P).sum() / count,
    }


def focal_losses(logits: Tensor, targets: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Elementwise focal loss (Lin et al., ICCV 2017) of logits against bool targets, same shape."""
    wrong = torch.where(targets, -logits, logits)
    balance = torch.where(targets, alpha, 1 - alpha)
    return -F.logsigmoid(-wrong) * wrong.sigmoid().pow(gamma) * balance


def _token_loss(
    output: GLIPOutput,
    targets: list[GroundingTarget],
    positives: Positives,
    attention_mask_BT: Tensor,
    config: GLIPConfig,
) -> Tensor:
    logits_BNT = torch.cat(output.logits, dim=1).float()
    targets_BNT = torch.zeros_like(logits_BNT, dtype=torch.bool)
    if logits_BNT.shape[-1] == config.max_tokens:
        # "No object" is the last slot of a full prompt; the mask leaves it out where the prompt is shorter.
        targets_BNT[:, :, -1] = True
    targets_BNT[positives.image_P, positives.anchor_P] = positives.token_map_PT
    weight_BN1 = logits_BNT.new_ones(logits_BNT.shape[:2])
    weight_BN1[positives.image_P, positives.anchor_P] = positives.weight_P
    losses_BNT = focal_losses(logits_BNT, targets_BNT, alpha=config.focal_alpha, gamma=config.focal_gamma)
    for image, target in enumerate(targets):
        if target.uncertain_T is not None:
            uncertain_NT = target.uncertain_T.to(losses_BNT.device) & ~targets_BNT[image]
            losses_BNT[image] = losses_BNT[image].masked_fill(uncertain_NT, 0.0)
    return torch.einsum("bnt,bn,bt->", losses_BNT, weight_BN1, attention_mask_BT.to(losses_BNT.dtype))


def _round_trip_giou(codes_P4: Tensor, boxes_P4: Tensor, anchors_P4: Tensor) -> Tensor:
    """GIoU of decoded predictions against decoded targets (the reference compares in regression space)."""
    targets_P4 = box_math.decode(box_math.encode(boxes_P4, anchors_P4), anchors_P4)
    return box_math.generalized_iou(box_math.decode(codes_P4, anchors_P4), targets_P4)


def find_positives(
    level_shapes: list[tuple[int, int]],
    targets: list[GroundingTarget],
    config: GLIPConfig,
    device: torch.device | str = "cpu",
) -> Positives:
    """The anchors that answer for a box (glip.assignment), image by image."""
    anchors_N4 = anchor_grid(level_shapes, config, device)
    lengths = [height * width for height, width in level_shapes]
    parts = [_image_positives(number, target, anchors_N4, lengths, config) for number, target in enumerate(targets)]
    image_P, anchor_P, boxes_P4, token_map_PT, weight_P, regress_P = map(torch.cat, zip(*parts, strict=True))
    anchors_P4 = anchors_N4[anchor_P]
    centerness_P = box_math.centerness(boxes_P4, anchors_P4) * regress_P
    return Positives(image_P, anchor_P, anchors_P4, boxes_P4, token_map_PT, weight_P, regress_P, centerness_P)


def _image_positives(
    number: int, target: GroundingTarget, anchors_N4: Tensor, lengths: list[int], config: GLIPConfig
) -> tuple[Tensor, ...]:
    """The positive anchors of one image: its number, the anchors, and for each its box, tokens, weight and whether it
    is regressed."""
    device = anchors_N4.device
    boxes_M4 = target.boxes_xyxy_N4.to(device, torch.float32)
    box_N = assign(anchors_N4, lengths, boxes_M4, config.atss_candidates)
    anchor_P = (box_N != NO_BOX).nonzero().squeeze(1)
    box_P = box_N[anchor_P]
    ones_M = torch.ones(len(boxes_M4), device=device)
    weight_M, regress_M = (
        (ones_M if value is None else value.to(device, torch.float32))
        for value in (target.score_weight_N, target.regress_N)
    )
    token_map_MT = target.token_map_NT.to(device, torch.bool)
    image_P = torch.full_like(anchor_P, number)
    return image_P, anchor_P, boxes_M4[box_P], token_map_MT[box_P], weight_M[box_P], regress_M[box_P]


def _check_targets(output: GLIPOutput, targets: list[GroundingTarget]) -> None:
    batch, _, tokens = output.logits[0].shape
    if len(targets) != batch:
        raise ValueError(f"grounding_losses: {len(targets)} targets for a batch of {batch} images")
    for image, target in enumerate(targets):
        count = len(target.boxes_xyxy_N4)
        wanted: dict[str, tuple[int, ...]] = {"boxes_xyxy_N4": (count, 4), "token_map_NT": (count, tokens)}
        shapes = {"score_weight_N": (count,), "regress_N": (count,), "uncertain_T": (tokens,)}
        wanted |= {name: shape for name, shape in shapes.items() if getattr(target, name) is not None}
        for name, shape in wanted.items():
            if tuple(getattr(target, name).shape) != shape:
                raise ValueError(
                    f"grounding_losses: target {image} needs {name} of shape {shape}, got "
                    f"{tuple(getattr(target, name).shape)}"
                )
