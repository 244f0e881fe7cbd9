"""ATSS: which anchors answer for which box (Zhang et al., CVPR 2020, section 4.1).

In: anchors and the boxes of one image. Out: for every anchor the index of its box, or -1.

Shapes: N anchors, M boxes, K candidates per box.
"""

from __future__ import annotations

import torch
from torch import Tensor

from glip import boxes as box_math

NO_BOX = -1
_INSIDE_MARGIN = 0.01


def assign(anchors_xyxy_N4: Tensor, level_lengths: list[int], boxes_xyxy_M4: Tensor, candidates: int) -> Tensor:
    """[N] long: the box each anchor is positive for, NO_BOX for the rest; no box makes all of them NO_BOX.

    Per box the `candidates` nearest anchors of each level compete; those at least as good as mean + standard
    deviation of the candidates' IoU, with their centre inside the box, win. A contested anchor goes to its best box.
    """
    count = boxes_xyxy_M4.shape[0]
    if count == 0:
        return torch.full_like(anchors_xyxy_N4[:, 0], NO_BOX, dtype=torch.long)
    iou_NM = box_math.pairwise_iou(anchors_xyxy_N4, boxes_xyxy_M4)
    centre_N2 = box_math.centres(anchors_xyxy_N4)
    candidate_KM = _nearest(centre_N2, box_math.centres(boxes_xyxy_M4), level_lengths, candidates)
    iou_KM = iou_NM.gather(0, candidate_KM)
    threshold_M = iou_KM.mean(dim=0) + (iou_KM.std(dim=0) if iou_KM.shape[0] > 1 else 0.0)
    centre_KM2 = centre_N2[candidate_KM]
    margin_KM = torch.cat((centre_KM2 - boxes_xyxy_M4[:, :2], boxes_xyxy_M4[:, 2:] - centre_KM2), dim=-1).amin(dim=-1)
    wins_KM = (iou_KM >= threshold_M) & (margin_KM > _INSIDE_MARGIN)
    claim_NM = torch.full_like(iou_NM, -1.0).scatter_(0, candidate_KM, torch.where(wins_KM, iou_KM, -1.0))
    best_N, box_N = claim_NM.max(dim=1)
    return torch.where(best_N >= 0, box_N, NO_BOX)


def _nearest(centre_N2: Tensor, box_centre_M2: Tensor, level_lengths: list[int], candidates: int) -> Tensor:
    """[K, M] indices of the anchors nearest to each box's centre, up to `candidates` of every level."""
    offset_NM2 = centre_N2.unsqueeze(1) - box_centre_M2
    distance_NM = offset_NM2.square().sum(dim=-1).sqrt()
    nearest, start = [], 0
    for distance, length in zip(torch.split(distance_NM, level_lengths), level_lengths, strict=True):
        nearest.append(distance.topk(min(candidates, length), dim=0, largest=False).indices + start)
        start += length
    return torch.cat(nearest)
