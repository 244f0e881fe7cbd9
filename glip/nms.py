"""Greedy non-maximum suppression of many groups of boxes at once, on any device, without a loop over boxes.

In: boxes and their order. Out: which of them stay. What suppresses what is one matrix a group; passing "who stays"
through it until nothing changes gives the greedy result.

Shapes: K boxes, G groups, S boxes of a group.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from glip import boxes as box_math

# IoU matrices are computed for as many groups at once as fit in this many entries (16 MB of float32).
_MAX_PAIRS = 2**22


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
    beats_GSS = beats(boxes_K4[index_GS], filled_GS, max_iou).float()
    keep_GS = filled_GS
    while True:
        settled = suppress_once(keep_GS, beats_GSS, filled_GS)
        if torch.equal(settled, keep_GS):
            return index_GS[keep_GS]
        keep_GS = settled


def beats(boxes_GS4: Tensor, filled_GS: Tensor, max_iou: float) -> Tensor:
    """[G, S, S] bool: a box that stays removes another of its group, of boxes that come best first."""
    overlaps_GSS = box_math.pairwise_iou(boxes_GS4, boxes_GS4) > max_iou
    slot_S = torch.arange(boxes_GS4.shape[1], device=boxes_GS4.device)
    return overlaps_GSS & (slot_S.unsqueeze(1) < slot_S) & filled_GS.unsqueeze(2)


def suppress_once(keep_GS: Tensor, beats_GSS: Tensor, filled_GS: Tensor) -> Tensor:
    """A box stays if no staying box beats it.

    Starting from "all stay", each pass settles at least the next box of every chain, so the fixed point is the greedy
    result; a few passes reach it.
    """
    return filled_GS & (torch.bmm(keep_GS.to(beats_GSS.dtype).unsqueeze(1), beats_GSS).squeeze(1) == 0)
