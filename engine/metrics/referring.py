"""Referring expressions (RefCOCO, RefCOCO+, RefCOCOg): accuracy at IoU 0.5.

In: samples whose caption is one expression, with one phrase and the one box of what it refers to. Out: the share of
expressions whose best candidate overlaps that box by IoU >= 0.5 (Yu et al., "Modeling Context in Referring
Expressions", ECCV 2016). Only the first answer counts: a referring expression has one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from engine.metrics import Figures, ImageResult, image_key, share_of_hits
from engine.metrics.grounding import first_hits

NAME = "referring_accuracy"


def referring_accuracy(results: Iterable[ImageResult]) -> Figures:
    """``referring_accuracy`` in [0, 1], over expressions; None where there is none.

    An expression without an answer is missed. ValueError where a sample does not refer to one thing: then the dataset
    is one of phrases, and phrase recall is its metric.
    """
    hits: dict[str, list[bool]] = defaultdict(list)
    for result in results:
        if len(result.gold.phrases) != 1 or len(result.gold.boxes) != 1:
            raise ValueError(
                f"sample {result.gold.key!r} has {len(result.gold.phrases)} phrases and {len(result.gold.boxes)} "
                "boxes; a referring expression has one of each. Evaluate this dataset by phrase recall (any-box)"
            )
        hits[image_key(result.gold)] += [rank == 1 for rank in first_hits(result)]
    return share_of_hits(NAME, hits)
