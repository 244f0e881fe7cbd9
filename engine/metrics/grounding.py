"""Phrase grounding: Recall@k at IoU 0.5, by the two protocols of Flickr30k Entities.

In: samples with human boxes for phrases, and a grounder's candidates for the same phrases. Out: the share of phrases
that are hit by one of their k best candidates. *Any-box protocol* (MDETR, appendix; GLIP, table 3): a phrase with
several human boxes is hit when a candidate overlaps any one of them. *Merged-box protocol* (the older one; MDETR names
both): its boxes are first replaced by the smallest one that holds them all; candidates stay as they are. Phrases
without a human box are not asked about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from engine.metrics import Figures, ImageResult, combined, image_identity, share_of_hits
from engine.metrics.overlap import as_boxes, iou
from schemas.records import BoxXYXY
from schemas.shards import SampleBox, SampleLabels

RECALL_AT = (1, 5, 10)
MIN_IOU = 0.5


def phrase_recall(
    results: Sequence[ImageResult], *, at: tuple[int, ...] = RECALL_AT, name: str = "phrase_recall"
) -> Figures:
    """``phrase_recall@k`` for each k of ``at``, over all phrases that have a human box (any-box protocol).

    A value in [0, 1], taken over phrases (not over images); None where no sample has a phrase with a box. The value of
    an image is the share of the phrases of all its captions that are hit, its count their number.
    """
    ranks: dict[str, list[float]] = defaultdict(list)
    for result in results:
        ranks[image_identity(result.gold)] += first_hits(result)
    return combined(
        share_of_hits(f"{name}@{k}", {image: [rank <= k for rank in of_image] for image, of_image in ranks.items()})
        for k in at
    )


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
