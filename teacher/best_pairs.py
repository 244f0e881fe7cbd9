"""Scores of boxes for phrases -> candidates: the best pairs, as set-prediction detectors are evaluated.

In: a score for each box and phrase of one prompt. Out: candidates, best first. A box may answer more than one phrase
("a man", "the rider"), and nothing suppresses overlaps: these models are trained to give a thing one box.

Shapes: Q boxes, P phrases.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from schemas.records import Candidate

MAX_PAIRS = 300  # the number selected in the official evaluation of Grounding DINO and of OWLv2 on LVIS


def best_pairs(scores_QP: Tensor, boxes_xyxy_Q4: Tensor, phrases: Sequence[int], min_score: float) -> list[Candidate]:
    """At most 300 pairs of at least ``min_score``; ``phrases`` has the number of each column. No phrase gives none."""
    best = scores_QP.flatten().topk(min(MAX_PAIRS, scores_QP.numel()))
    found = []
    for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        if score < min_score:
            break
        box, column = divmod(place, len(phrases))
        x1, y1, x2, y2 = boxes_xyxy_Q4[box].tolist()
        found.append(Candidate(phrases[column], (x1, y1, x2, y2), score))
    return found


def corners(boxes_cxcywh: Tensor) -> Tensor:
    """Boxes [..., 4] given by middle and size as xyxy."""
    middle, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return torch.cat((middle - half, middle + half), dim=-1)
