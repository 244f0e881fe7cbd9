"""Judged boxes that a test made up, in the columns in which an evaluation has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.metrics.judged_boxes import OUTCOMES, JudgedBox, JudgedBoxes, JudgedPart
from engine.metrics.overlap import as_boxes


def judged_columns(judged: Sequence[JudgedBox]) -> JudgedBoxes:
    """All boxes as one part, those of pictures and names in the order in which they first occur."""
    keys = {key: place for place, key in enumerate(dict.fromkeys(one.key for one in judged))}
    names = {name: place for place, name in enumerate(dict.fromkeys(one.name for one in judged))}
    part = JudgedPart(
        list(keys),
        list(names),
        np.array([keys[one.key] for one in judged], dtype=np.int32),
        np.array([one.number for one in judged], dtype=np.int32),
        np.array([names[one.name] for one in judged], dtype=np.int32),
        np.array([one.rank for one in judged], dtype=np.int32),
        np.array([one.score for one in judged], dtype=np.float64),
        as_boxes([one.box_xyxy for one in judged]),
        np.array([one.overlap for one in judged], dtype=np.float32),
        np.array([OUTCOMES.index(one.outcome) for one in judged], dtype=np.int8),
    )
    return JudgedBoxes([part])
