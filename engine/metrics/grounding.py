"""Phrase grounding: Recall@k at IoU 0.5.

In: samples with human boxes for phrases, and a grounder's candidates for the same phrases. Out: the share of phrases
that are hit by one of their k best candidates. *Any-box protocol* (MDETR, appendix; GLIP, table 3): a phrase with
several human boxes is hit when a candidate overlaps any one of them. Phrases without a human box are not asked about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from engine.metrics import Figures, ImageResult, image_identity
from engine.metrics.overlap import as_boxes, iou
from schemas.reports import MetricValue

RECALL_AT = (1, 5, 10)
MIN_IOU = 0.5


def phrase_recall(results: Sequence[ImageResult], *, at: tuple[int, ...] = RECALL_AT) -> Figures:
    """``phrase_recall@k`` for each k of ``at``, over all phrases that have a human box.

    A value in [0, 1], taken over phrases (not over images); None where no sample has a phrase with a box. The value of
    an image is the share of the phrases of all its captions that are hit, its count their number.
    """
    ranks: dict[str, list[float]] = defaultdict(list)
    for result in results:
        ranks[image_identity(result.gold)] += first_hits(result)
    ranks = {image: hits for image, hits in ranks.items() if hits}
    total = sum(map(len, ranks.values()))
    values, per_image, counts = [], {}, {}
    for k in at:
        name = f"phrase_recall@{k}"
        per_image[name] = {image: float(np.mean(np.array(hits) <= k)) for image, hits in ranks.items()}
        counts[name] = {image: len(hits) for image, hits in ranks.items()}
        found = sum(rank <= k for hits in ranks.values() for rank in hits)
        values.append(MetricValue(name=name, value=found / total if total else None, count=total))
    return Figures(values, per_image, counts)


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
