"""Phrase grounding: Recall@k at IoU 0.5, by the two protocols of Flickr30k Entities.

In: samples with human boxes for phrases, and a grounder's candidates for the same phrases. Out: the share of phrases
that are hit by one of their k best candidates. *Any-box protocol* (MDETR, appendix; GLIP, table 3): a phrase with
several human boxes is hit when a candidate overlaps any one of them. *Merged-box protocol* (the older one; MDETR names
both): its boxes are first replaced by the smallest one that holds them all; candidates stay as they are. Phrases
without a human box are not asked about. Both may be told apart by groups of phrases, such as by how frequent they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from engine.metrics import Figures, ImageResult, combined, image_identity, share_of_hits
from engine.metrics.overlap import as_boxes, iou
from schemas.records import BoxXYXY
from schemas.shards import SampleBox, SampleLabels, SamplePhrase

RECALL_AT = (1, 5, 10)
MIN_IOU = 0.5


def phrase_recall(
    results: Sequence[ImageResult], *, at: tuple[int, ...] = RECALL_AT, name: str = "phrase_recall", group: str = ""
) -> Figures:
    """``phrase_recall@k`` for each k of ``at``, over all phrases that have a human box (any-box protocol).

    A value in [0, 1], taken over phrases (not over images); None where no sample has a phrase with a box. The value of
    an image is the share of the phrases of all its captions that are hit, its count their number. ``group`` ends the
    names, as in ``phrase_recall@1:tail``.
    """
    ending = f":{group}" if group else ""
    ranks: dict[str, list[float]] = defaultdict(list)
    for result in results:
        ranks[image_identity(result.gold)] += first_hits(result)
    return combined(
        share_of_hits(
            f"{name}@{k}{ending}", {image: [rank <= k for rank in of_image] for image, of_image in ranks.items()}
        )
        for k in at
    )


def phrase_recall_by_group(
    results: Sequence[ImageResult], group_of: Callable[[SamplePhrase], str], *, at: tuple[int, ...] = RECALL_AT
) -> Figures:
    """``phrase_recall@k:GROUP`` for each group that the phrases with a human box fall into, as :func:`phrase_recall`
    gives it over the phrases of that group alone."""
    groups = sorted({group_of(result.gold.phrases[box.phrase]) for result in results for box in result.gold.boxes})
    return combined(
        phrase_recall([_of_group(result, group, group_of) for result in results], at=at, group=group)
        for group in groups
    )


def _of_group(result: ImageResult, group: str, group_of: Callable[[SamplePhrase], str]) -> ImageResult:
    """The result with the human boxes of the group's phrases alone: others are then not asked about."""
    gold = result.gold
    boxes = [box for box in gold.boxes if group_of(gold.phrases[box.phrase]) == group]
    return ImageResult(gold.model_copy(update={"boxes": boxes}), result.candidates)


def merged_phrase_recall(results: Sequence[ImageResult], *, at: tuple[int, ...] = RECALL_AT) -> Figures:
    """``phrase_recall_merged@k``, as :func:`phrase_recall` gives it, by the merged-box protocol."""
    merged = [ImageResult(_merged(result.gold), result.candidates) for result in results]
    return phrase_recall(merged, at=at, name="phrase_recall_merged")


def _merged(gold: SampleLabels) -> SampleLabels:
    """The sample with one box a phrase: the smallest that holds all of its boxes."""
    corners: dict[int, list[BoxXYXY]] = defaultdict(list)
    for box in gold.boxes:
        corners[box.phrase].append(box.box_xyxy)
    boxes = [
        SampleBox(phrase=phrase, box_xyxy=_enclosing(of_phrase), score=1.0) for phrase, of_phrase in corners.items()
    ]
    return gold.model_copy(update={"boxes": boxes})


def _enclosing(boxes_xyxy: Sequence[BoxXYXY]) -> BoxXYXY:
    x1, y1, x2, y2 = zip(*boxes_xyxy, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


def first_hits(result: ImageResult) -> list[float]:
    """For each phrase with a human box, the rank (from 1) of the first candidate that hits it; infinity for none.

    Candidates of a phrase are ranked by score; equal scores keep the grounder's order.
    """
    ranks: list[float] = []
    for phrase in range(len(result.gold.phrases)):
        gold = as_boxes([box.box_xyxy for box in result.gold.boxes if box.phrase == phrase])
        if not len(gold):
            continue
        proposed = sorted((c for c in result.candidates if c.phrase == phrase), key=lambda c: -c.score)
        hits = iou(as_boxes([c.box_xyxy for c in proposed]), gold).max(axis=1) >= MIN_IOU
        ranks.append(float(np.argmax(hits)) + 1 if hits.any() else float("inf"))
    return ranks
