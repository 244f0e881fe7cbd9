"""Boxes from several answers put together: the prompts of one picture, or two teachers.

In: candidates per answer. Out: candidates in which nothing stands twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from schemas.records import Candidate

DUPLICATE_IOU = 0.6  # GLIP's own threshold of non-maximum suppression within one prompt
MATCH_IOU = 0.5


def merge_prompts(answers: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """The candidates of all prompts of a picture, in order.

    Where a phrase stood in more than one prompt, of two boxes from different prompts with an IoU above 0.6 the better
    one stays. Boxes of one prompt are never touched: what is double there is for the grounder to say.
    """
    homes: dict[int, set[int]] = {}
    for number, answer in enumerate(answers):
        for candidate in answer:
            homes.setdefault(candidate.phrase, set()).add(number)
    merged = [one for answer in answers for one in answer if len(homes[one.phrase]) == 1]
    for phrase in sorted(phrase for phrase, prompts in homes.items() if len(prompts) > 1):
        merged += _without_duplicates(
            [(number, one) for number, answer in enumerate(answers) for one in answer if one.phrase == phrase]
        )
    return merged


def _without_duplicates(found: Sequence[tuple[int, Candidate]]) -> list[Candidate]:
    ranked = sorted(found, key=lambda item: (-item[1].score, item[0]))
    overlaps = pairwise_iou([one for _, one in ranked], [one for _, one in ranked])
    kept: list[int] = []
    for number, (prompt, _) in enumerate(ranked):
        if all(ranked[other][0] == prompt or overlaps[number][other] <= DUPLICATE_IOU for other in kept):
            kept.append(number)
    return [ranked[number][1] for number in kept]


def combine_teachers(first: Sequence[Candidate], second: Sequence[Candidate]) -> list[Candidate]:
    """The boxes of two teachers for the same phrases, with their agreement.

    Boxes of a phrase are matched one to one, the largest IoU first, from 0.5 on. A matched pair becomes one box: its
    coordinates are the mean of the two weighted by score, its score is their mean, its agreement their IoU. A box that
    one teacher alone has keeps its place with half its score (the other one's is 0) and agreement 0. That is the rule
    of weighted boxes fusion (Solovyev et al. 2019, section 2.2) for two models, with matching one to one.
    """
    combined: list[Candidate] = []
    for phrase in sorted({one.phrase for one in (*first, *second)}):
        ours = [one for one in first if one.phrase == phrase]
        theirs = [one for one in second if one.phrase == phrase]
        pairs = _matches(ours, theirs)
        combined += [_agreed(ours[i], theirs[j], overlap) for i, j, overlap in pairs]
        combined += [_alone(one) for i, one in enumerate(ours) if i not in {pair[0] for pair in pairs}]
        combined += [_alone(one) for j, one in enumerate(theirs) if j not in {pair[1] for pair in pairs}]
    return combined


def _matches(ours: Sequence[Candidate], theirs: Sequence[Candidate]) -> list[tuple[int, int, float]]:
    """(number, number, IoU) of the pairs, each box in one at most; ties go to the better scores."""
    if not ours or not theirs:
        return []
    overlaps = pairwise_iou(ours, theirs)
    near = [(i, j, overlaps[i][j]) for i in range(len(ours)) for j in range(len(theirs)) if overlaps[i][j] >= MATCH_IOU]
    near.sort(key=lambda pair: (-pair[2], -(ours[pair[0]].score + theirs[pair[1]].score), pair[0], pair[1]))
    pairs: list[tuple[int, int, float]] = []
    for i, j, overlap in near:
        if all(i != taken[0] and j != taken[1] for taken in pairs):
            pairs.append((i, j, overlap))
    return pairs


def _agreed(one: Candidate, other: Candidate, overlap: float) -> Candidate:
    total = one.score + other.score
    share = one.score / total if total else 0.5
    x1, y1, x2, y2 = (share * a + (1 - share) * b for a, b in zip(one.box_xyxy, other.box_xyxy, strict=True))
    return Candidate(one.phrase, (x1, y1, x2, y2), total / 2, overlap)


def _alone(one: Candidate) -> Candidate:
    return Candidate(one.phrase, one.box_xyxy, one.score / 2, 0.0)


def pairwise_iou(ours: Sequence[Candidate], theirs: Sequence[Candidate]) -> list[list[float]]:
    """Intersection over union of the boxes of each candidate of ``ours`` with each of ``theirs``; 0 for empty boxes."""
    first = torch.tensor([one.box_xyxy for one in ours], dtype=torch.float64)[:, None]
    second = torch.tensor([one.box_xyxy for one in theirs], dtype=torch.float64)[None]
    sides = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    shared = sides.clamp(min=0).prod(dim=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(dim=-1) for boxes in (first, second)]
    overlaps: list[list[float]] = (shared / (areas[0] + areas[1] - shared).clamp(min=1e-12)).tolist()
    return overlaps
