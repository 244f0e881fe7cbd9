"""The laws that vocabularies follow, fitted to a dataset's phrases: Zipf's, Heaps', and what they say of 24M pairs.

In: filled :class:`~engine.statistics.tables.StatisticsTables`. Out: points, fits, and the paper's figures beside ours.
Fits are least squares in logarithms, over points at even spaces on a logarithmic axis. Sources: Zipf 1949, Heaps 1978;
the figures of GLIP's web data (CVPR 2022, section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engine.statistics.tables import StatisticsTables
from schemas.dataset_vocabulary import GrowthPoint, PaperFigure, VocabularyGrowth, ZipfFit

RANKS_A_DECADE = 20
GROWTH_POINTS, GROWTH_STEPS = 40, 3  # points, and how many of them to a doubling
LEAST_POINTS = 4  # that a law is fitted to
DIGITS = 6
PAPER_PAIRS = 24_000_000
PAPER_BOXES, PAPER_PHRASES = 78.1e6, 58.4e6
PAPER_BOXES_PER_IMAGE, PAPER_PHRASES_PER_BOX = 3.25, 0.75
FREQUENCIES = "SELECT occurrences, count(*) AS phrases FROM phrases GROUP BY occurrences ORDER BY occurrences DESC"
# Place k holds what first comes among the first images / 2 ** (k / 3) of the dataset, and in no earlier place.
PLACE = (
    f"least(floor({GROWTH_STEPS} * log2((SELECT count(*) FROM images) / ({{image}} + 1.0))), {GROWTH_POINTS - 1})"
    "::INTEGER"
)
GROWTH = f"""
SELECT place, sum(images)::BIGINT AS images, sum(occurrences)::BIGINT AS occurrences,
       sum(unique_phrases)::BIGINT AS unique_phrases
FROM (
    SELECT {PLACE.format(image="image")} AS place, 1 AS images, phrases AS occurrences, 0 AS unique_phrases FROM images
    UNION ALL SELECT {PLACE.format(image="first_image")}, 0, 0, 1 FROM phrases
) GROUP BY place ORDER BY place DESC
"""


def rank_frequency(tables: StatisticsTables) -> list[tuple[int, int]]:
    """Occurrences by rank at ranks 1, 2, 3, .. spaced evenly on a logarithmic axis: at most some 20 a decade."""
    points: list[tuple[int, int]] = []
    last_rank, place = 0, -1
    for occurrences, phrases in tables.rows(FREQUENCIES):
        first, last_rank = last_rank + 1, last_rank + phrases
        for rank in _spaced(first, last_rank):
            if (place_of := _place(rank)) > place:
                points.append((rank, int(occurrences)))
                place = place_of
    return points


def _place(rank: int) -> int:
    return math.floor(RANKS_A_DECADE * math.log10(rank))


def _spaced(first: int, last: int) -> list[int]:
    """The first rank of each place on the axis between two ranks, and the first one of all."""
    starts = [math.ceil(10 ** (place / RANKS_A_DECADE) - 1e-9) for place in range(_place(first) + 1, _place(last) + 1)]
    return [first, *(rank for rank in starts if first < rank <= last)]


def zipf_fit(points: Sequence[tuple[int, int]]) -> ZipfFit | None:
    """Zipf's law through the points; None for too few, or where all phrases are equally frequent."""
    if len(points) < LEAST_POINTS or points[0][1] == points[-1][1]:
        return None
    slope, intercept, r_squared = _line([rank for rank, _ in points], [count for _, count in points])
    return ZipfFit(
        exponent=round(-slope, DIGITS),
        scale=round(math.exp(intercept), DIGITS),
        r_squared=round(r_squared, DIGITS),
        first_rank=points[0][0],
        last_rank=points[-1][0],
        definition="occurrences = scale / rank ^ exponent, by least squares of the logarithms at the ranks shown.",
    )


def vocabulary_growth(tables: StatisticsTables) -> VocabularyGrowth:
    """Unique phrases among the first images, and Heaps' law through them."""
    places = np.array([row[1:] for row in tables.rows(GROWTH)], dtype=np.int64).reshape(-1, 3)
    sums = np.cumsum(places, axis=0).tolist()
    found = [GrowthPoint(images=one, occurrences=all_, unique_phrases=new) for one, all_, new in sums]
    exponent, scale, r_squared = _heaps(found)
    half = len(found) // 2
    return VocabularyGrowth(
        points=found,
        exponent=exponent,
        scale=scale,
        r_squared=r_squared,
        early_exponent=_heaps(found[:half])[0],
        late_exponent=_heaps(found[half:])[0],
        definition="unique phrases = scale * occurrences ^ exponent, by least squares of the logarithms over the first "
        "images of the dataset, in its order. The SQL gives what each step adds; the running sums are the points.",
        sql=" ".join(GROWTH.split()),
    )


def _heaps(points: Sequence[GrowthPoint]) -> tuple[float, float, float] | tuple[None, None, None]:
    """Exponent, scale and R squared of the law through the points; None for too few."""
    if len({one.occurrences for one in points}) < LEAST_POINTS:
        return None, None, None
    slope, intercept, r_squared = _line([one.occurrences for one in points], [one.unique_phrases for one in points])
    return round(slope, DIGITS), round(math.exp(intercept), DIGITS), round(r_squared, DIGITS)


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Slope, intercept and R squared of the least-squares line through the logarithms."""
    across, up = np.log(np.asarray(x, dtype=np.float64)), np.log(np.asarray(y, dtype=np.float64))
    slope, intercept = np.polyfit(across, up, 1)
    rest = up - (slope * across + intercept)
    spread = float(((up - up.mean()) ** 2).sum())
    return float(slope), float(intercept), 1.0 - float((rest**2).sum()) / spread if spread else 1.0


def paper_figures(values: dict[str, float | None], growth: VocabularyGrowth) -> list[PaperFigure]:
    """The paper's four figures beside ours: as they are, and extrapolated to its 24M pairs.

    ``values`` by name: source_pairs, boxes, phrases, unique_phrases, boxes_per_image, unique_phrases_per_box.
    """
    pairs, boxes, phrases = (values.get(name) for name in ("source_pairs", "boxes", "phrases"))
    factor = PAPER_PAIRS / pairs if pairs else None
    all_boxes = boxes * factor if boxes is not None and factor is not None else None
    unique = None
    if factor is not None and phrases and growth.exponent is not None and growth.scale is not None:
        unique = growth.scale * (phrases * factor) ** growth.exponent
    per_box = unique / all_boxes if unique is not None and all_boxes else None
    by_heaps = "by Heaps' law from the phrases that as many pairs would ground"
    rows = (
        ("boxes", "Boxes", all_boxes, PAPER_BOXES, "Selected boxes; extrapolated in proportion to the source pairs."),
        ("unique_phrases", "Unique phrases", unique, PAPER_PHRASES, f"Lower case; extrapolated {by_heaps}."),
        ("boxes_per_image", "Boxes per image", None, PAPER_BOXES_PER_IMAGE, "Per image with a box; there per pair."),
        (
            "unique_phrases_per_box",
            "Unique phrases per box",
            per_box,
            PAPER_PHRASES_PER_BOX,
            f"Extrapolated {by_heaps}.",
        ),
    )
    return [
        PaperFigure(
            name=name,
            title=title,
            here=values.get(name),
            extrapolated=None if extrapolated is None else round(extrapolated, DIGITS),
            paper=paper,
            definition=definition,
        )
        for name, title, extrapolated, paper, definition in rows
    ]
