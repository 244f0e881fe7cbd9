"""What reviewers found: how many of the selection's boxes people judged, and how many of those are right.

In: reviewed samples as they are stored, with the verdicts on them. Out: the table ``verdicts``, and the numbers that
are asked of it; a dataset that nobody reviewed has neither. A box is right as in a calibration on verdicts
(:mod:`engine.review.evidence`). Source: Wilson 1927, the interval of a share.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from engine.review.evidence import is_right
from engine.review.selecting import match_verdicts, placed_boxes
from engine.selecting.columns import columns_of
from engine.selecting.rules import Selection, select_rows
from engine.statistics.numbers import NumberQuery, run_query
from engine.statistics.tables import StatisticsTables
from schemas.dataset_report import Statistic, TableDefinition
from schemas.shards import SampleLabels
from schemas.verdicts import Verdict

CONFIDENCE = 0.95


class VerdictRow(NamedTuple):
    """A row of ``verdicts``."""

    image_sha256: str
    reviewer: str
    verdict: str
    selected: bool
    is_right: bool


_COLUMNS = "image_sha256 VARCHAR, reviewer VARCHAR, verdict VARCHAR, selected BOOLEAN, is_right BOOLEAN"
_DEFINITION = (
    "A verdict that holds, for each stored sample with its picture, caption and phrase. selected: it is about a stored "
    "box that the selection keeps before any verdict. is_right: it does not reject the stored box, which has an IoU of "
    "0.5 or more with the reviewer's. The SQL shows the verdicts; readers then find the box that each is about."
)
_TARGET = 'image_sha256, caption_sha256, "start", "end", round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2)'
_LATEST = f'row_number() OVER (PARTITION BY {_TARGET} ORDER BY "at" DESC) = 1'
_SOURCE = (
    "SELECT image_sha256, reviewer, verdict FROM (SELECT * FROM read_parquet('verdicts/*.parquet') QUALIFY "
    f"{_LATEST}) WHERE verdict <> 'withdrawn'"
)
FAIR_SAMPLE = (
    "This holds for all boxes of the selection only if pictures were listed at random, with no filter, and every box "
    "of each was judged."
)


def _interval(name: str, end: str, sign: str) -> NumberQuery:
    """One end of Wilson's interval, in SQL. Its trials are pictures, as in a calibration."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    sql = (
        f"SELECT (p + z * z / (2 * n) {sign} z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n) FROM "
        f"(SELECT avg(is_right::DOUBLE) AS p, nullif(count(DISTINCT image_sha256), 0)::DOUBLE AS n, {z!r} AS z "
        "FROM verdicts WHERE selected)"
    )
    definition = (
        f"The {end} in Wilson's {100 * CONFIDENCE:.0f} % interval of the precision of judged boxes. It counts pictures "
        "rather than boxes, because the boxes of one picture are often right or wrong together."
    )
    return NumberQuery(name, f"{end.capitalize()} ({100 * CONFIDENCE:.0f} %)", "review", "share", sql, definition)


NUMBERS = (
    NumberQuery(
        "judged_precision", "Precision of judged boxes", "review", "share",
        "SELECT avg(is_right::DOUBLE) FROM verdicts WHERE selected",
        "Share of the judged boxes that are right: accepted, or corrected (or drawn) by a box that overlaps them with "
        f"an IoU of 0.5 or more. {FAIR_SAMPLE}",
    ),
    _interval("judged_precision_low", "lowest precision", "-"),
    _interval("judged_precision_high", "highest precision", "+"),
    NumberQuery(
        "judged_boxes", "Judged boxes", "review", "boxes",
        "SELECT count(*) FROM verdicts WHERE selected",
        "Boxes that the selection keeps before any verdict, and that a verdict of `glip-engine serve` is about.",
    ),
    NumberQuery(
        "judged_images", "Images with a judged box", "review", "images",
        "SELECT count(DISTINCT image_sha256) FROM verdicts WHERE selected",
        "Pictures, by the SHA-256 of their file, of the judged boxes.",
    ),
    NumberQuery(
        "accepted_boxes", "Accepted", "review", "boxes",
        "SELECT count(*) FROM verdicts WHERE selected AND verdict IN ('accepted', 'added')",
        "Judged boxes that a reviewer accepted, or drew in the same place before these labels were made.",
    ),
    NumberQuery(
        "corrected_boxes", "Corrected", "review", "boxes",
        "SELECT count(*) FROM verdicts WHERE selected AND verdict = 'corrected'",
        "Judged boxes for which a reviewer drew another one.",
    ),
    NumberQuery(
        "rejected_boxes", "Rejected", "review", "boxes",
        "SELECT count(*) FROM verdicts WHERE selected AND verdict = 'rejected'",
        "Judged boxes that a reviewer rejected. The funnel also counts those that the selection would not keep.",
    ),
    NumberQuery(
        "boxes_of_reviewers", "Added by reviewers", "review", "boxes",
        "SELECT count(*) FROM verdicts WHERE NOT selected AND verdict <> 'rejected'",
        "Boxes that are there because of a verdict alone: drawn by a reviewer, or accepted or corrected where the "
        "selection keeps none.",
    ),
    NumberQuery(
        "reviewers", "Reviewers", "review", "reviewers",
        "SELECT count(DISTINCT reviewer) FROM verdicts",
        "Names given with `glip-engine serve --reviewer` whose verdicts hold; of one box the latest does.",
    ),
)  # fmt: skip


def create_verdicts(tables: StatisticsTables) -> None:
    """The empty table."""
    tables.create("verdicts", _COLUMNS)


def insert_verdicts(tables: StatisticsTables, rows: Sequence[VerdictRow]) -> None:
    """Append rows of :func:`verdict_rows`."""
    if rows:
        tables.insert("verdicts", pa.Table.from_pylist([row._asdict() for row in rows]))


def verdict_rows(labels: SampleLabels, verdicts: Sequence[Verdict], selection: Selection | None) -> list[VerdictRow]:
    """The verdicts on a sample, which is as it is stored. No selection keeps every box."""
    boxes, spans = placed_boxes(labels), {(one.start, one.end) for one in labels.phrases}
    every = np.ones(len(boxes), dtype=bool)
    stays = every if selection is None else select_rows(columns_of(labels), selection)[0]
    return [
        VerdictRow(
            labels.image_sha256,
            one.reviewer,
            one.verdict,
            selected=place is not None and bool(stays[place]),
            is_right=place is not None and is_right(one, boxes[place][1]),
        )
        for one, place in zip(verdicts, match_verdicts(verdicts, boxes), strict=True)
        if (one.start, one.end) in spans
    ]


def review_numbers(tables: StatisticsTables) -> list[Statistic]:
    """What reviewers found; nothing where there is no verdict."""
    return [run_query(tables, one) for one in NUMBERS] if _count(tables) else []


def review_table(tables: StatisticsTables) -> list[TableDefinition]:
    """What ``verdicts`` is; nothing where there is none."""
    count = _count(tables)
    return [TableDefinition(name="verdicts", definition=_DEFINITION, sql=_SOURCE, rows=count)] if count else []


def _count(tables: StatisticsTables) -> int:
    return int(tables.one("SELECT count(*) FROM verdicts")[0])
