"""The single numbers that a dataset's report asks of its tables, in DuckDB's SQL.

In: filled :class:`~engine.statistics.tables.StatisticsTables`. Out: numbers with their definition and SQL. To add a
number, add a line to ``NUMBERS``.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.statistics.tables import StatisticsTables, distinct_sql
from schemas.dataset_report import Section, Statistic


class NumberQuery(NamedTuple):
    """A number of the report and the SQL that gives it.

    ``distinct``: the column and table of a count of distinct texts, which is counted part by part instead of by
    ``sql``.
    """

    name: str
    title: str
    section: Section
    unit: str
    sql: str
    definition: str
    distinct: tuple[str, str] | None = None


_DISTINCT_CAPTIONS = (
    "SELECT count(*) FROM (SELECT DISTINCT caption_a, caption_b FROM images WHERE caption_a IS NOT NULL)"
)
_SCORE_QUANTILE = """
SELECT avg(score::DOUBLE) FROM (
    SELECT score, sum(boxes) OVER (ORDER BY score) AS upto, boxes, sum(boxes) OVER () AS total
    FROM (SELECT score, count(*) AS boxes FROM boxes GROUP BY score)
) WHERE 100 * upto >= {percent} * total AND 100 * (upto - boxes) <= {percent} * total
"""


def _quantile(name: str, title: str, percent: int) -> NumberQuery:
    below = f"Of the teacher's raw scores: {percent} % of the boxes score this or less"
    definition = f"{below}; if that falls between two boxes, the mean of their scores."
    sql = " ".join(_SCORE_QUANTILE.format(percent=percent).split())
    return NumberQuery(name, title, "scores", "score", sql, definition)


NUMBERS = (
    NumberQuery(
        "images", "Images with a box", "size", "images",
        "SELECT count(*) FROM images",
        "Samples with at least one selected box.",
    ),
    NumberQuery(
        "distinct_images", "Distinct images", "duplicates", "images",
        "SELECT count(*) FROM (SELECT DISTINCT file_a, file_b FROM images WHERE file_a IS NOT NULL)",
        "Images with a box by the SHA-256 of their file: the same file twice counts once.",
    ),
    NumberQuery(
        "repeated_images", "Images that repeat a file", "duplicates", "images",
        "SELECT count(file_a) - (SELECT count(*) FROM (SELECT DISTINCT file_a, file_b FROM images "
        "WHERE file_a IS NOT NULL)) FROM images",
        "Images with a box and the same file, by its SHA-256, as an earlier one.",
    ),
    NumberQuery(
        "captions", "Distinct captions", "size", "captions",
        _DISTINCT_CAPTIONS,
        "Captions of images with a box by their exact text.",
    ),
    NumberQuery("boxes", "Boxes", "size", "boxes", "SELECT count(*) FROM boxes", "Boxes that the selection keeps."),
    NumberQuery(
        "phrases", "Grounded phrases", "size", "phrases",
        "SELECT count(*) FROM occurrences",
        "Occurrences of a noun phrase with at least one selected box.",
    ),
    NumberQuery(
        "unique_phrases", "Unique phrases", "phrases", "phrases",
        "SELECT count(*) FROM phrases",
        "Distinct texts of grounded phrases in lower case, determiners kept: 'A dog' and 'a dog' are one.",
    ),
    NumberQuery(
        "unique_phrases_as_written", "Unique phrases, as written", "phrases", "phrases",
        distinct_sql("text", "occurrences"),
        "Distinct texts of grounded phrases, character by character.",
        distinct=("text", "occurrences"),
    ),
    NumberQuery(
        "unique_phrase_lemmas", "Unique phrases, lemmas", "phrases", "phrases",
        distinct_sql("lemma", "phrase_lemmas"),
        "Distinct lemma forms of grounded phrases: lower case, without a leading determiner, and with the last "
        "word as its lemma if it is the head: 'The brown dogs' and 'a brown dog' are one.",
        distinct=("lemma", "phrase_lemmas"),
    ),
    NumberQuery(
        "unique_head_lemmas", "Unique head lemmas", "phrases", "lemmas",
        "SELECT count(*) FROM heads",
        "Distinct lemmas of the phrases' head nouns: 'two dogs' and 'a brown dog' are one.",
    ),
    NumberQuery(
        "boxes_per_image", "Boxes per image", "size", "boxes",
        "SELECT sum(boxes) / nullif(count(*), 0) FROM images",
        "Selected boxes divided by images with a box.",
    ),
    NumberQuery(
        "boxes_per_phrase", "Boxes per phrase", "size", "boxes",
        "SELECT sum(boxes) / nullif(count(*), 0) FROM occurrences",
        "Selected boxes divided by grounded phrases.",
    ),
    NumberQuery(
        "boxes_per_caption", "Boxes per caption", "size", "boxes",
        f"SELECT count(*) / nullif(({_DISTINCT_CAPTIONS}), 0) FROM boxes",
        "Selected boxes divided by distinct captions.",
    ),
    NumberQuery(
        "phrases_per_image", "Grounded phrases per image", "size", "phrases",
        "SELECT sum(phrases) / nullif(count(*), 0) FROM images",
        "Grounded phrases divided by images with a box.",
    ),
    NumberQuery(
        "unique_phrases_per_box", "Unique phrases per box", "phrases", "phrases",
        "SELECT count(*) / nullif((SELECT count(*) FROM boxes), 0) FROM phrases",
        "Unique phrases (lower case) divided by boxes; 0.75 in the GLIP paper at 24M pairs.",
    ),
    NumberQuery(
        "seen_once_share", "Phrases seen once", "phrases", "share",
        "SELECT count(*) FILTER (occurrences = 1) / nullif(count(*), 0) FROM phrases",
        "Share of the unique phrases (lower case) that are grounded only once.",
    ),
    _quantile("median_score", "Median score", 50),
    _quantile("score_p05", "Score, 5th percentile", 5),
    _quantile("score_p95", "Score, 95th percentile", 95),
    NumberQuery(
        "mean_score", "Mean score", "scores", "score",
        "SELECT avg(score::DOUBLE) FROM boxes",
        "Mean of the teacher's raw scores.",
    ),
    NumberQuery(
        "small_boxes_share", "Small boxes", "boxes", "share",
        "SELECT avg(((x2 - x1) * (y2 - y1) < 32 * 32)::DOUBLE) FROM boxes",
        "Share of the boxes with an area below 32 x 32 pixels of the stored image (COCO's 'small').",
    ),
    NumberQuery(
        "large_boxes_share", "Large boxes", "boxes", "share",
        "SELECT avg(((x2 - x1) * (y2 - y1) >= 96 * 96)::DOUBLE) FROM boxes",
        "Share of the boxes with an area of at least 96 x 96 pixels of the stored image (COCO's 'large').",
    ),
    NumberQuery(
        "mean_image_pixels", "Pixels per image", "images", "pixels",
        "SELECT avg(width::DOUBLE * height) FROM images",
        "Mean of width times height of the images with a box as stored.",
    ),
)  # fmt: skip
DIGITS = 9  # sums of many floats depend on their order, equal data are to give equal numbers


def numbers(tables: StatisticsTables) -> list[Statistic]:
    """The answers to all ``NUMBERS``, in order; None where there is nothing to divide by."""
    return [run_query(tables, one) for one in NUMBERS]


def run_query(tables: StatisticsTables, one: NumberQuery) -> Statistic:
    """The number with its value; None where the SQL gives NULL."""
    value = tables.distinct(*one.distinct) if one.distinct else tables.one(one.sql)[0]
    return Statistic(
        name=one.name,
        title=one.title,
        value=None if value is None else round(float(value), DIGITS),
        definition=one.definition,
        sql=one.sql,
        section=one.section,
        unit=one.unit,
    )
