"""Word-region logits to phrase scores and boxes: candidates, NMS per phrase, the best of each image (as the
post-processor of the reference implementation).

In: the model's raw output and the token positions of each phrase. Out: scored boxes in pixels of the original image.
Everything runs on the device of the output, for the whole batch at once. On a GPU no shape depends on a value and the
answer is fetched in one copy, the only time the host waits; on a CPU suppression goes by phrase, which is less work.

Shapes: B images, N positions, T tokens, P phrases (of the image that has most), L tokens of the longest phrase,
K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glip import boxes as box_math
from glip.anchors import anchor_grid
from glip.config import GLIPConfig
from glip.head import GLIPOutput
from glip.nms import beats, nms, suppress_once
from glip.transfer import to_device

# The best so many candidates of an image nearly always hold all the boxes it may keep; where they do not, or where
# so many passes of suppression do not settle, the image is done again with all of them.
_FIRST_CANDIDATES = 1024
_PASSES = 16


@dataclass(frozen=True)
class PhraseBoxes:
    """The boxes of one image, best first, on the CPU.

    phrase_index_K: long, index into the image's phrases. boxes_xyxy_K4: float32 pixels of the original image.
    scores_K: float32 in 0..1, sqrt(phrase score * centerness).
    """

    phrase_index_K: Tensor
    boxes_xyxy_K4: Tensor
    scores_K: Tensor


@dataclass(frozen=True)
class Candidates:
    """Phrases with boxes, best first, in pixels of the resized image; the score is -1 where there are no more."""

    phrase_BK: Tensor
    boxes_BK4: Tensor
    scores_BK: Tensor

    def first(self, count: int) -> Candidates:
        return Candidates(self.phrase_BK[:, :count], self.boxes_BK4[:, :count], self.scores_BK[:, :count])

    def of_image(self, image: int) -> Candidates:
        one = slice(image, image + 1)
        return Candidates(self.phrase_BK[one], self.boxes_BK4[one], self.scores_BK[one])


def ground(
    output: GLIPOutput,
    token_positions: list[list[list[int]]],
    image_shapes_hw: list[tuple[int, int]],
    original_shapes_hw: list[tuple[int, int]],
    config: GLIPConfig,
    min_score: float = 0.0,
) -> list[PhraseBoxes]:
    """Boxes for every phrase of every image.

    token_positions: per image, per phrase, positions in the prompt; a phrase without positions gets no box.
    image_shapes_hw: resized, before padding. original_shapes_hw: the frame of the returned boxes.
    min_score: floor on the final score. The phrase score alone must exceed config.candidate_min_score besides.

    Raises: ValueError if the lists disagree with the batch size.
    """
    batch = output.logits[0].shape[0]
    if not len(token_positions) == len(image_shapes_hw) == len(original_shapes_hw) == batch:
        raise ValueError(
            f"ground: a batch of {batch} images needs as many token positions and shapes, got "
            f"{len(token_positions)}, {len(image_shapes_hw)} and {len(original_shapes_hw)}"
        )
    device = output.logits[0].device
    limits_B4 = to_device(torch.tensor([(w - 1, h - 1, w - 1, h - 1) for h, w in image_shapes_hw]).float(), device)
    positions_BPL = to_device(_pack_positions(token_positions), device)
    if positions_BPL.shape[1] == 0:
        return [PhraseBoxes(torch.zeros(0).long(), torch.zeros(0, 4), torch.zeros(0)) for _ in range(batch)]
    candidates = find_candidates(output, positions_BPL, limits_B4, config, min_score)
    found = []
    keep_best = keep_best_by_phrase if device.type == "cpu" else keep_best_in_one_fetch
    for image, answer in enumerate(keep_best(candidates, config)):
        (height, width), (original_height, original_width) = image_shapes_hw[image], original_shapes_hw[image]
        ratio_4 = torch.tensor([original_width / width, original_height / height] * 2)
        found.append(PhraseBoxes(answer[:, 5].long(), answer[:, :4] * ratio_4, answer[:, 4]))
    return found


def keep_best_by_phrase(candidates: Candidates, config: GLIPConfig) -> list[Tensor]:
    """[K, 6] box, score and phrase of each image's boxes, on the CPU, best first."""
    image_K, slot_K = (candidates.scores_BK >= 0).nonzero(as_tuple=True)
    boxes_K4, scores_K = candidates.boxes_BK4[image_K, slot_K], candidates.scores_BK[image_K, slot_K]
    phrase_K = candidates.phrase_BK[image_K, slot_K]
    phrases = int(candidates.phrase_BK.max()) + 1
    kept = nms(boxes_K4, scores_K, image_K * phrases + phrase_K, config.nms_max_iou)
    rows_K6 = torch.cat((boxes_K4, scores_K.unsqueeze(1), phrase_K.unsqueeze(1).float()), dim=1)[kept].cpu()
    counts_B = torch.bincount(image_K[kept], minlength=len(candidates.scores_BK)).tolist()
    return [_cut(rows, config.max_boxes_per_image) for rows in torch.split(rows_K6, counts_B)]


def keep_best_in_one_fetch(candidates: Candidates, config: GLIPConfig) -> list[Tensor]:
    """The same, from the best candidates of each image first, without a wait before the answer is there."""
    first = candidates.first(_FIRST_CANDIDATES)
    keep_BK, settled_B = _suppress(first, config.nms_max_iou)
    complete_B = settled_B & _is_complete(candidates, keep_BK, config.max_boxes_per_image)
    columns = (first.boxes_BK4, first.scores_BK.unsqueeze(2), first.phrase_BK.unsqueeze(2), keep_BK.unsqueeze(2))
    rows_BK7 = torch.cat([column.float() for column in columns], dim=2)
    fetched = torch.cat((rows_BK7.flatten(1), complete_B.float().unsqueeze(1)), dim=1).cpu()
    rows_BK7, complete_B = fetched[:, :-1].view(rows_BK7.shape), fetched[:, -1]
    return [
        _cut(rows_K7[rows_K7[:, 6] > 0, :6], config.max_boxes_per_image)
        if complete
        else keep_best_by_phrase(candidates.of_image(image), config)[0]
        for image, (rows_K7, complete) in enumerate(zip(rows_BK7, complete_B.tolist(), strict=True))
    ]


def _is_complete(candidates: Candidates, keep_BK: Tensor, limit: int) -> Tensor:
    """[B]: whether no candidate behind those looked at could still be among the image's `limit` best."""
    looked_at = keep_BK.shape[1]
    if looked_at == candidates.scores_BK.shape[1]:
        return keep_BK.new_ones(len(keep_BK))
    scores_BK = torch.where(keep_BK, candidates.scores_BK[:, :looked_at], -0.5)
    enough_B = scores_BK.sort(dim=1, descending=True).values[:, limit - 1] if limit <= looked_at else -0.5
    return candidates.scores_BK[:, looked_at] < enough_B


def _cut(rows_K6: Tensor, limit: int) -> Tensor:
    """The first `limit` rows; more only where the last place is tied."""
    return rows_K6[rows_K6[:, 4] >= rows_K6[limit - 1, 4]] if len(rows_K6) > limit else rows_K6


def _suppress(candidates: Candidates, max_iou: float) -> tuple[Tensor, Tensor]:
    """keep_BK, and settled_B: whether that is greedy suppression's result, or needs more passes."""
    filled_BK = candidates.scores_BK >= 0
    same_phrase_BKK = candidates.phrase_BK.unsqueeze(2) == candidates.phrase_BK.unsqueeze(1)
    beats_BKK = (beats(candidates.boxes_BK4, filled_BK, max_iou) & same_phrase_BKK).float()
    keep_BK = previous_BK = filled_BK
    for _ in range(_PASSES):
        previous_BK, keep_BK = keep_BK, suppress_once(keep_BK, beats_BKK, filled_BK)
    return keep_BK, (keep_BK == previous_BK).all(dim=1)


def _pack_positions(token_positions: list[list[list[int]]]) -> Tensor:
    """[B, P, L] token positions, -1 where an image has fewer phrases or a phrase fewer tokens."""
    most = max((len(phrases) for phrases in token_positions), default=0)
    longest = max((len(positions) for phrases in token_positions for positions in phrases), default=0)
    filled = [
        [positions + [-1] * (longest - len(positions)) for positions in phrases + [[]] * (most - len(phrases))]
        for phrases in token_positions
    ]
    return torch.tensor(filled, dtype=torch.long).view(len(token_positions), most, longest)


def _phrase_scores(logits_BNT: Tensor, positions_BPL: Tensor) -> Tensor:
    """[B, N, P] mean probability of each phrase's tokens, 0 for a phrase without tokens.

    Added up token by token: in a matrix product the other phrases of the batch would decide the order of the sum.
    """
    probabilities_BNT = logits_BNT.float().sigmoid()
    counts_BP = (positions_BPL >= 0).sum(dim=-1).clamp(min=1)
    total_BNP = probabilities_BNT.new_zeros(*probabilities_BNT.shape[:2], positions_BPL.shape[1])
    for position_BP in positions_BPL.unbind(dim=-1):
        index_BNP = position_BP.clamp(min=0).unsqueeze(1).expand_as(total_BNP)
        total_BNP += probabilities_BNT.gather(2, index_BNP) * (position_BP >= 0).unsqueeze(1)
    return total_BNP / counts_BP.unsqueeze(1)


def find_candidates(
    output: GLIPOutput, positions_BPL: Tensor, limits_B4: Tensor, config: GLIPConfig, min_score: float
) -> Candidates:
    """At most max_candidates_per_level of each level and image, by phrase score times centerness."""
    phrase_scores_BNP = _phrase_scores(torch.cat(output.logits, dim=1), positions_BPL)
    ranks_BNP = phrase_scores_BNP * torch.cat(output.centerness, dim=1).float().sigmoid().unsqueeze(-1)
    # The threshold is on the phrase score alone, before centerness: as the reference does.
    ranks_BNP = torch.where(phrase_scores_BNP > config.candidate_min_score, ranks_BNP, -1.0)
    ranks_BK, pairs_BK = _best_of_levels(ranks_BNP, output.level_shapes, config.max_candidates_per_level)
    ranks_BK, order_BK = ranks_BK.sort(dim=1, descending=True, stable=True)
    pairs_BK = pairs_BK.gather(1, order_BK)
    phrases = ranks_BNP.shape[2]
    position_BK, phrase_BK = pairs_BK // phrases, pairs_BK % phrases
    codes_BK4 = torch.cat(output.box_regression, dim=1).gather(1, position_BK.unsqueeze(2).expand(-1, -1, 4))
    anchors_N4 = anchor_grid(output.level_shapes, config, position_BK.device)
    boxes_BK4 = box_math.decode(codes_BK4.float(), anchors_N4[position_BK])
    boxes_BK4 = torch.minimum(boxes_BK4.clamp(min=0), limits_B4.unsqueeze(1))
    scores_BK = ranks_BK.clamp(min=0).sqrt()
    return Candidates(phrase_BK, boxes_BK4, torch.where((ranks_BK >= 0) & (scores_BK >= min_score), scores_BK, -1.0))


def _best_of_levels(ranks_BNP: Tensor, level_shapes: list[tuple[int, int]], limit: int) -> tuple[Tensor, Tensor]:
    """Ranks [B, K] of the best pairs of every level, level by level, and their index into [N * P]."""
    values, indices, start = [], [], 0
    for height, width in level_shapes:
        level = ranks_BNP[:, start : start + height * width].flatten(1)
        best = level.topk(min(limit, level.shape[1]), dim=1)
        values.append(best.values)
        indices.append(best.indices + start * ranks_BNP.shape[2])
        start += height * width
    return torch.cat(values, dim=1), torch.cat(indices, dim=1)
