"""The questions that a dataset's report asks of the table of its boxes, in DuckDB's SQL.

In: a connection in which ``boxes`` has the columns of ``ANNOTATION_SCHEMA``. Out: numbers with their definition and
SQL, histograms, the head and the tail of the phrases. To add a number, add a line to ``NUMBERS``.
"""

from __future__ import annotations

from typing import Any, Protocol

from schemas.reports import Histogram, PhraseCount, Statistic


class Connection(Protocol):
    """What is needed of DuckDB's connection, which ``engine.box_tables`` opens."""

    def execute(self, sql: str) -> Any: ...


HEAD_PHRASES = 30
TAIL_PHRASES = 40

# name, title, SQL over the table `boxes`, definition
NUMBERS = (
    ("images", "Labelled images", "SELECT count(DISTINCT key) FROM boxes", "Samples with at least one selected box."),
    (
        "distinct_images",
        "Distinct images",
        "SELECT count(DISTINCT image_sha256) FROM boxes",
        "Labelled images by the SHA-256 of their file: the same file twice counts once.",
    ),
    (
        "captions",
        "Distinct captions",
        "SELECT count(DISTINCT caption_sha256) FROM boxes",
        "Captions of labelled images by their exact text.",
    ),
    ("boxes", "Boxes", "SELECT count(*) FROM boxes", "Boxes that the selection keeps."),
    (
        "phrases",
        "Grounded phrases",
        "SELECT count(*) FROM (SELECT DISTINCT key, phrase FROM boxes)",
        "Occurrences of a noun phrase with at least one selected box.",
    ),
    (
        "unique_phrases",
        "Unique phrases",
        "SELECT count(DISTINCT lower(phrase_text)) FROM boxes",
        "Distinct texts of grounded phrases in lower case, determiners kept: 'A dog' and 'a dog' are one.",
    ),
    (
        "unique_phrases_as_written",
        "Unique phrases, as written",
        "SELECT count(DISTINCT phrase_text) FROM boxes",
        "Distinct texts of grounded phrases, character by character.",
    ),
    (
        "unique_head_lemmas",
        "Unique head lemmas",
        "SELECT count(DISTINCT head_lemma) FROM boxes",
        "Distinct lemmas of the phrases' head nouns: 'two dogs' and 'a brown dog' are one.",
    ),
    (
        "boxes_per_image",
        "Boxes per image",
        "SELECT count(*) / nullif(count(DISTINCT key), 0) FROM boxes",
        "Selected boxes divided by labelled images.",
    ),
    (
        "boxes_per_phrase",
        "Boxes per phrase",
        "SELECT count(*) / nullif((SELECT count(*) FROM (SELECT DISTINCT key, phrase FROM boxes)), 0) FROM boxes",
        "Selected boxes divided by grounded phrases.",
    ),
    (
        "unique_phrases_per_box",
        "Unique phrases per box",
        "SELECT count(DISTINCT lower(phrase_text)) / nullif(count(*), 0) FROM boxes",
        "Unique phrases (lower case) divided by boxes; 0.75 in the GLIP paper at 24M pairs.",
    ),
    ("median_score", "Median score", "SELECT median(score) FROM boxes", "Median of the teacher's raw scores."),
    (
        "seen_once_share",
        "Phrases seen once",
        "SELECT count(*) FILTER (n = 1) / nullif(count(*), 0) FROM (SELECT count(DISTINCT (key, phrase)) AS n "
        "FROM boxes GROUP BY lower(phrase_text))",
        "Share of the unique phrases (lower case) that are grounded once only.",
    ),
    (
        "small_boxes_share",
        "Small boxes",
        "SELECT avg(CAST((x2 - x1) * (y2 - y1) < 32 * 32 AS DOUBLE)) FROM boxes",
        "Share of the boxes with an area below 32 x 32 pixels of the stored image (COCO's 'small').",
    ),
)


def numbers(connection: Connection) -> list[Statistic]:
    """All of ``NUMBERS``, in order; None where there is nothing to divide by."""
    return [_ask(connection, *asked) for asked in NUMBERS]


def _ask(connection: Connection, name: str, title: str, sql: str, definition: str) -> Statistic:
    row = connection.execute(sql).fetchone()
    value = None if row is None or row[0] is None else float(row[0])
    return Statistic(name=name, title=title, value=value, definition=definition, sql=sql)


# --------------------------------------------------------------------------------------------- distributions, phrases

# name, title, unit, SQL of one value a thing, lower edge, width of a bin, bins, whether the last bin is open
_DISTRIBUTIONS: tuple[tuple[str, str, str, str, float, float, int, bool], ...] = (
    ("scores", "Scores", "score", "SELECT score AS v FROM boxes", 0.0, 0.05, 20, False),
    (
        "boxes_per_image",
        "Boxes per image",
        "boxes",
        "SELECT count(*) AS v FROM boxes GROUP BY key",
        1,
        1,
        20,
        True,
    ),
    (
        "boxes_per_phrase",
        "Boxes per phrase",
        "boxes",
        "SELECT count(*) AS v FROM boxes GROUP BY key, phrase",
        1,
        1,
        10,
        True,
    ),
    (
        "phrases_per_image",
        "Grounded phrases per image",
        "phrases",
        "SELECT count(DISTINCT phrase) AS v FROM boxes GROUP BY key",
        1,
        1,
        12,
        True,
    ),
    (
        "box_sizes",
        "Box size",
        "side of the box, as a share of the image",
        "SELECT sqrt((x2 - x1) * (y2 - y1) / (width * height)) AS v FROM boxes",
        0.0,
        0.05,
        20,
        False,
    ),
)


def histograms(connection: Connection) -> list[Histogram]:
    found = []
    for name, title, unit, sql, low, width, bins, open_end in _DISTRIBUTIONS:
        # The small term keeps a value on an edge, such as float32 0.3, in the bin that begins there.
        number = f"least(greatest(CAST(floor((v - {low}) / {width} + 1e-6) AS INTEGER), 0), {bins - 1})"
        rows = connection.execute(f"SELECT {number} AS bin, count(*) FROM ({sql}) GROUP BY bin").fetchall()
        counts = dict(rows)
        edges = [round(low + width * edge, 6) for edge in range(bins + 1)]
        filled = [int(counts.get(number, 0)) for number in range(bins)]
        found.append(Histogram(name=name, title=title, unit=unit, edges=edges, counts=filled, open_end=open_end))
    return found


_OCCURRENCES = (
    "SELECT lower(phrase_text) AS text, count(DISTINCT (key, phrase)) AS occurrences, count(DISTINCT key) AS images, "
    "count(*) AS boxes FROM boxes GROUP BY lower(phrase_text)"
)


def head_phrases(connection: Connection) -> list[PhraseCount]:
    """The most frequent phrases."""
    return _phrases(connection, "occurrences DESC, text", HEAD_PHRASES)


def tail_phrases(connection: Connection) -> list[PhraseCount]:
    """Some of the rarest phrases."""
    return _phrases(connection, "occurrences, hash(text)", TAIL_PHRASES)


def _phrases(connection: Connection, order: str, limit: int) -> list[PhraseCount]:
    """Phrases in an order; equal counts go by text, or by a hash of it, so that equal data give equal lists."""
    rows: list[Any] = connection.execute(f"{_OCCURRENCES} ORDER BY {order} LIMIT {limit}").fetchall()
    return [PhraseCount(text=text, occurrences=n, images=images, boxes=boxes) for text, n, images, boxes in rows]


def rank_frequency(connection: Connection) -> list[tuple[int, int]]:
    """Occurrences by rank at ranks 1, 2, 3, .. spaced evenly on a logarithmic axis: at most some 20 a decade."""
    ranked = f"SELECT occurrences, row_number() OVER (ORDER BY occurrences DESC, text) AS rank FROM ({_OCCURRENCES})"
    spaced = (
        f"SELECT min(rank) AS rank, max(occurrences) FROM ({ranked}) "
        "GROUP BY CAST(floor(20 * log10(rank)) AS INTEGER) ORDER BY rank"
    )
    return [(int(rank), int(count)) for rank, count in connection.execute(spaced).fetchall()]
