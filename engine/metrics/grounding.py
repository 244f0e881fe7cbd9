"""Phrase grounding: Recall@k at IoU 0.5, by the two protocols of Flickr30k Entities.

In: samples with human boxes for phrases, and a grounder's candidates for the same phrases. Out: the share of phrases
that are hit by one of their k best candidates. *Any-box protocol* (MDETR, appendix; GLIP, table 3): a phrase with
several human boxes is hit when a candidate overlaps any one of them. *Merged-box protocol* (the older one; MDETR names
both): its boxes are first replaced by the smallest one that holds them all; candidates stay as they are. Phrases
without a human box are not asked about. Both may be told apart by groups of phrases, such as by how frequent they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from engine.metrics import Figures, ImageResult, combined, image_key, share_of_hits
from engine.metrics.overlap import Boxes, as_boxes, iou
from schemas.shards import SampleLabels, SamplePhrase

RECALL_AT = (1, 5, 10)
MIN_IOU = 0.5


Ranks = dict[str, list[float]]
"""By picture, the rank of the first candidate that hits each phrase asked about."""


def phrase_recall(results: Iterable[ImageResult]) -> Figures:
    """``phrase_recall@k`` for each k of ``RECALL_AT``, over all phrases that have a human box (any-box protocol).

    A value in [0, 1], taken over phrases (not over images); None where no sample has a phrase with a box. The value of
    an image is the share of the phrases of all its captions that are hit, its count their number.
    """
    ranks: Ranks = defaultdict(list)
    for result in results:
        ranks[image_key(result.gold)] += first_hits(result)
    return combined(_hit_by_rank(k, f"phrase_recall@{k}", ranks) for k in RECALL_AT)


def phrase_recall_by_group(results: Iterable[ImageResult], group_of: Callable[[SamplePhrase], str]) -> Figures:
    """``phrase_recall@1:GROUP`` for each group that the phrases with a human box fall into, as :func:`phrase_recall`
    gives it over the phrases of that group alone."""
    ranks: dict[str, dict[str, list[float]]] = {}  # by picture, in the order of the pictures, and by group
    for result in results:
        boxes, of_image = boxes_by_phrase(result.gold), ranks.setdefault(image_key(result.gold), {})
        for number, rank in zip(boxes, _first_hits(result, boxes), strict=True):
            of_image.setdefault(group_of(result.gold.phrases[number]), []).append(rank)
    groups = sorted({group for of_image in ranks.values() for group in of_image})
    return combined(
        _hit_by_rank(1, f"phrase_recall@1:{group}", {image: own.get(group, []) for image, own in ranks.items()})
        for group in groups
    )


def merged_phrase_recall(results: Iterable[ImageResult]) -> Figures:
    """``phrase_recall_merged@k``, as :func:`phrase_recall` gives it, by the merged-box protocol."""
    ranks: Ranks = defaultdict(list)
    for result in results:
        boxes = {phrase: _enclosing(of_phrase) for phrase, of_phrase in boxes_by_phrase(result.gold).items()}
        ranks[image_key(result.gold)] += _first_hits(result, boxes)
    return combined(_hit_by_rank(k, f"phrase_recall_merged@{k}", ranks) for k in RECALL_AT)


def _hit_by_rank(k: int, name: str, ranks: Ranks) -> Figures:
    return share_of_hits(name, {image: [rank <= k for rank in of_image] for image, of_image in ranks.items()})


def first_hits(result: ImageResult) -> list[float]:
    """For each phrase with a human box, the rank (from 1) of the first candidate that hits it; infinity for none.

    Candidates of a phrase are ranked by score; equal scores keep the grounder's order.
    """
    return _first_hits(result, boxes_by_phrase(result.gold))


def boxes_by_phrase(gold: SampleLabels) -> dict[int, Boxes]:
    """The boxes [N, 4] of each phrase that has some, in the order of the phrases."""
    corners = defaultdict(list)
    for box in gold.boxes:
        corners[box.phrase].append(box.box_xyxy)
    return {phrase: as_boxes(corners[phrase]) for phrase in sorted(corners)}


def _enclosing(boxes_xyxy: Boxes) -> Boxes:
    """The smallest box that holds all, [1, 4]."""
    return np.concatenate([boxes_xyxy[:, :2].min(axis=0), boxes_xyxy[:, 2:].max(axis=0)])[None]


def _first_hits(result: ImageResult, boxes: Mapping[int, Boxes]) -> list[float]:
    """:func:`first_hits` for the phrases in ``boxes``; all candidates are compared with all human boxes at once."""
    if not boxes:
        return []
    found = result.found
    found = found[np.lexsort((-found.scores, found.phrases))]
    of_human = np.repeat(list(boxes), [len(of_phrase) for of_phrase in boxes.values()])
    overlaps = iou(found.boxes_xyxy, np.concatenate(list(boxes.values()))) >= MIN_IOU
    rows = np.flatnonzero((overlaps & (found.phrases[:, None] == of_human)).any(axis=1))
    phrases = found.phrases[rows]
    ranks = rows + 1 - np.searchsorted(found.phrases, phrases)
    first = dict(zip(reversed(phrases.tolist()), reversed(ranks.tolist()), strict=True))
    return [float(first.get(phrase, np.inf)) for phrase in boxes]
