"""Word-region logits to phrase scores and boxes: candidates, NMS per phrase, the best of each image (as the
post-processor of the reference implementation).

In: the model's raw output and the token positions of each phrase. Out: scored boxes in pixels of the original image.
Everything stays on the output's device and runs for the whole batch at once.

Shapes: B images, N positions, T tokens, P phrases (of the image that has most), L tokens of the longest phrase,
K candidates, G groups, S group size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from glip import boxes as box_math
from glip.anchors import anchor_grid
from glip.config import GLIPConfig
from glip.head import GLIPOutput

# IoU matrices are computed for as many groups at once as fit in this many entries (16 MB of float32).
_MAX_PAIRS = 2**22


@dataclass(frozen=True)
class PhraseBoxes:
    """The boxes of one image, best first.

    phrase_index_K: long, index into the image's phrases. boxes_xyxy_K4: float32 pixels of the original image.
    scores_K: float32 in 0..1, sqrt(phrase score * centerness).
    """

    phrase_index_K: Tensor
    boxes_xyxy_K4: Tensor
    scores_K: Tensor


@dataclass(frozen=True)
class _Candidates:
    """Boxes of the whole batch in candidate order (level by level), in pixels of the resized image."""

    image_K: Tensor
    phrase_K: Tensor
    boxes_K4: Tensor
    scores_K: Tensor

    def keep(self, index: Tensor) -> _Candidates:
        return _Candidates(self.image_K[index], self.phrase_K[index], self.boxes_K4[index], self.scores_K[index])


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
    candidates = _find_candidates(output, _pack_positions(token_positions, device), config)
    limits_B4 = torch.tensor([(w - 1, h - 1, w - 1, h - 1) for h, w in image_shapes_hw], device=device).float()
    boxes_K4 = torch.minimum(candidates.boxes_K4.clamp(min=0), limits_B4[candidates.image_K])
    candidates = _Candidates(candidates.image_K, candidates.phrase_K, boxes_K4, candidates.scores_K)
    most_phrases = max((len(phrases) for phrases in token_positions), default=0)
    groups_K = candidates.image_K * most_phrases + candidates.phrase_K
    candidates = candidates.keep(nms(boxes_K4, candidates.scores_K, groups_K, config.nms_max_iou))
    candidates = candidates.keep(candidates.scores_K >= min_score)
    ratios = [(ow / w, oh / h) for (h, w), (oh, ow) in zip(image_shapes_hw, original_shapes_hw, strict=True)]
    ratios_B4 = torch.tensor([(x, y, x, y) for x, y in ratios], device=device, dtype=torch.float32)
    return [_best(candidates, image, ratios_B4[image], config.max_boxes_per_image) for image in range(batch)]


def nms(boxes_xyxy_K4: Tensor, scores_K: Tensor, groups_K: Tensor, max_iou: float) -> Tensor:
    """Greedy non-maximum suppression inside each group; ascending indices of what is kept.

    IoU with "+1" sizes; a box goes if a better box of its group that stays overlaps it by more than max_iou.
    Equal scores: the earlier box counts as the better one.
    """
    if len(scores_K) == 0:
        return torch.zeros(0, dtype=torch.long, device=scores_K.device)
    by_score_K = scores_K.argsort(descending=True, stable=True)
    order_K = by_score_K[groups_K[by_score_K].argsort(stable=True)]
    sizes = torch.unique_consecutive(groups_K[order_K], return_counts=True)[1]
    starts = sizes.cumsum(0) - sizes
    by_size = sizes.argsort(descending=True, stable=True)
    sizes, starts = sizes[by_size], starts[by_size]
    kept = [
        _nms_chunk(boxes_xyxy_K4, order_K, starts[chunk], sizes[chunk], max_iou) for chunk in _chunks(sizes.tolist())
    ]
    return torch.cat(kept).sort().values


def _chunks(descending_sizes: list[int]) -> Iterator[slice]:
    """Runs of groups that are processed together, padded to the largest of them.

    Their IoU matrices fit in the budget, and no group is so small that it would be mostly padding.
    """
    start = 0
    while start < len(descending_sizes):
        largest = descending_sizes[start]
        limit = min(start + max(_MAX_PAIRS // largest**2, 1), len(descending_sizes))
        stop = next((i for i in range(start + 1, limit) if descending_sizes[i] * 4 < largest), limit)
        yield slice(start, stop)
        start = stop


def _nms_chunk(boxes_K4: Tensor, order_K: Tensor, starts_G: Tensor, sizes_G: Tensor, max_iou: float) -> Tensor:
    """Indices kept in groups that are runs of order_K, each best first."""
    slot_S = torch.arange(int(sizes_G.max()), device=order_K.device)
    filled_GS = slot_S < sizes_G.unsqueeze(1)
    index_GS = order_K[(starts_G.unsqueeze(1) + slot_S).clamp(max=len(order_K) - 1)]
    boxes_GS4 = boxes_K4[index_GS]
    beats_GSS = (box_math.pairwise_iou(boxes_GS4, boxes_GS4) > max_iou) & (slot_S.unsqueeze(1) < slot_S)
    # A box stays if no staying box beats it. Starting from "all stay", each pass settles at least the next box of
    # every chain, so the fixed point is the greedy result; a few passes reach it.
    beats_GSS = (beats_GSS & filled_GS.unsqueeze(2)).float()
    keep_GS = filled_GS
    while True:
        beaten_GS = torch.bmm(keep_GS.float().unsqueeze(1), beats_GSS).squeeze(1) > 0
        settled = filled_GS & ~beaten_GS
        if torch.equal(settled, keep_GS):
            return index_GS[keep_GS]
        keep_GS = settled


def _pack_positions(token_positions: list[list[list[int]]], device: torch.device) -> Tensor:
    """[B, P, L] token positions, -1 where an image has fewer phrases or a phrase fewer tokens."""
    most = max((len(phrases) for phrases in token_positions), default=0)
    longest = max((len(positions) for phrases in token_positions for positions in phrases), default=0)
    filled = [
        [positions + [-1] * (longest - len(positions)) for positions in phrases + [[]] * (most - len(phrases))]
        for phrases in token_positions
    ]
    return torch.tensor(filled, dtype=torch.long, device=device).view(len(token_positions), most, longest)


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


def _find_candidates(output: GLIPOutput, positions_BPL: Tensor, config: GLIPConfig) -> _Candidates:
    """At most max_candidates_per_level of each level and image, by phrase score times centerness."""
    anchors_N4 = anchor_grid(output.level_shapes, config, positions_BPL.device)
    lengths = [height * width for height, width in output.level_shapes]
    levels = zip(output.logits, output.box_regression, output.centerness, torch.split(anchors_N4, lengths), strict=True)
    found = [
        _level_candidates(_phrase_scores(logits, positions_BPL), codes, centerness, anchors, config)
        for logits, codes, centerness, anchors in levels
    ]
    return _Candidates(
        torch.cat([f.image_K for f in found]),
        torch.cat([f.phrase_K for f in found]),
        torch.cat([f.boxes_K4 for f in found]),
        torch.cat([f.scores_K for f in found]),
    )


def _level_candidates(
    phrase_scores_BNP: Tensor, codes_BN4: Tensor, centerness_BN: Tensor, anchors_N4: Tensor, config: GLIPConfig
) -> _Candidates:
    ranked_BNP = phrase_scores_BNP * centerness_BN.float().sigmoid().unsqueeze(-1)
    # The threshold is on the phrase score alone, before centerness: as the reference does.
    ranked_BNP = torch.where(phrase_scores_BNP > config.candidate_min_score, ranked_BNP, -1.0)
    phrases = max(ranked_BNP.shape[-1], 1)
    ranked = ranked_BNP.flatten(1)
    scores, flat = ranked.topk(min(config.max_candidates_per_level, ranked.shape[1]), dim=1)
    image_K, slot = (scores >= 0).nonzero(as_tuple=True)
    pair_K = flat[image_K, slot]
    position_K, phrase_K = pair_K // phrases, pair_K % phrases
    boxes_K4 = box_math.decode(codes_BN4[image_K, position_K].float(), anchors_N4[position_K])
    return _Candidates(image_K, phrase_K, boxes_K4, scores[image_K, slot].sqrt())


def _best(candidates: _Candidates, image: int, ratio_4: Tensor, limit: int) -> PhraseBoxes:
    """The boxes of one image, best first; more than `limit` only where the last place is tied."""
    own = candidates.keep(candidates.image_K == image)
    scores_K, order_K = own.scores_K.sort(descending=True, stable=True)
    if len(scores_K) > limit:
        order_K = order_K[scores_K >= scores_K[limit - 1]]
    own = own.keep(order_K)
    return PhraseBoxes(own.phrase_K, own.boxes_K4 * ratio_4, own.scores_K)
