"""The search of the review page: the samples of a dataset that have boxes of some kind, page by page.

In: a query. Out: keys of samples with what was found in them. DuckDB reads the dataset's own tables, out of core;
values from a request are bound as parameters and never become SQL. In the order of the dataset, a page needs only a few
tables, however many there are; other orders read them all.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from engine.artifacts import Store
from engine.box_tables import Connection, naming_damage, stored_tables
from engine.review.verdicts import CaptionKey, Verdicts
from engine.selecting.calibrated_scores import LARGE_FROM, MEDIUM_FROM
from schemas.verdicts import Verdict

PAGE_SAMPLES = 24
FIRST_TABLES = 4
EXACT_COUNT_BOXES = 5_000_000  # above this, samples are counted only to a few per cent
MAX_REMEMBERED_KEYS = 100_000

# Columns that every version of the format has; others may be missing in some files.
COLUMNS = "key, phrase_text, x1, y1, x2, y2, score, width, height, image_sha256, caption_sha256"
_SHARE = "(x2 - x1) * (y2 - y1) / (CAST(width AS DOUBLE) * height)"
_SIZES = {
    "small": f"{_SHARE} < {MEDIUM_FROM!r}",
    "medium": f"{_SHARE} >= {MEDIUM_FROM!r} AND {_SHARE} < {LARGE_FROM!r}",
    "large": f"{_SHARE} >= {LARGE_FROM!r}",
}
_JUDGED_COLUMNS = ("image_sha256", "caption_sha256", "verdict")
_CAPTION = "(image_sha256, caption_sha256)"
_JUDGED = f"{_CAPTION} IN (SELECT {_CAPTION} FROM judged"
_MEASURES = {"lowest": "CAST(score AS DOUBLE)", "highest": "-CAST(score AS DOUBLE)", "random": "hash(key)"}
_SORTED_PLACE = re.compile(r"(-?\d{1,20}(?:\.\d{1,20})?(?:e-\d{1,3})?):(\d{1,18}):(\d{1,18})", re.ASCII)


class ReviewQuery(BaseModel):
    """A search for samples that have a box for which all of these conditions hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phrase: str = Field(default="", max_length=200)
    """Part of the phrase's text, in any case."""
    min_score: float = Field(default=0.0, ge=0, le=1)
    max_score: float = Field(default=1.0, ge=0, le=1)
    size: Literal["any", "small", "medium", "large"] = "any"
    """The group of the box in a calibration: by its share of the picture, with COCO's bounds at 640 x 480."""
    state: Literal["any", "unreviewed", "reviewed", "accepted", "rejected", "corrected", "added"] = "any"
    """The state of the sample: whether it has a valid verdict, or one with this word."""
    order: Literal["dataset", "random", "lowest", "highest"] = "dataset"


class FoundSample(NamedTuple):
    """A sample, how many of its boxes match, the best score of these, and the number of valid verdicts on the
    sample."""

    key: str
    boxes: int
    best_score: float
    judged: int


class FoundPage(NamedTuple):
    """Samples in order, and the beginning of the next page, None for the last page."""

    samples: list[FoundSample]
    next: str | None


class Totals(NamedTuple):
    """The number of matches; ``exact`` tells whether ``samples`` is exact, as ``boxes`` always is."""

    samples: int
    boxes: int
    exact: bool


class ReviewIndex:
    """The boxes of the committed units of one dataset, with the verdicts on them so far. Safe in several threads."""

    def __init__(self, connection: Connection, store: Store, units: Sequence[int], verdicts: Verdicts) -> None:
        self._connection, self._units = connection, sorted(units)
        self._files = dict(zip(self._units, stored_tables(connection, store, self._units), strict=True))
        self._unit_of: dict[str, int] = {}
        self._judged: dict[CaptionKey, int] = {}
        self._lock = threading.Lock()
        connection.execute(f"CREATE TABLE judged ({', '.join(f'{name} VARCHAR' for name in _JUDGED_COLUMNS)})")
        self.take_verdicts(verdicts.by_caption)

    def take_verdicts(self, held: Mapping[CaptionKey, Sequence[Verdict]]) -> None:
        """Replace the verdicts of some captions, which the filter by state uses; those of other captions stay."""
        rows = [(*caption, one.verdict) for caption, found in held.items() for one in found]
        tables = {"arriving": _table(rows, _JUDGED_COLUMNS), "told": _table(list(held), _JUDGED_COLUMNS[:2])}
        with self._lock, self._connection.cursor() as cursor:
            for name, table in tables.items():
                cursor.register(name, table)
            cursor.execute("BEGIN")
            cursor.execute(f"DELETE FROM judged WHERE {_CAPTION} IN (SELECT {_CAPTION} FROM told)")
            cursor.execute("INSERT INTO judged SELECT * FROM arriving")  # one by one, a thousand would take a second
            cursor.execute("COMMIT")
            for name in tables:
                cursor.unregister(name)
            self._judged |= {caption: len(found) for caption, found in held.items()}

    def find(self, query: ReviewQuery, after: str | None = None) -> FoundPage:
        """One page of samples; ``after`` is the ``next`` of the page before. ValueError where that is invalid."""
        return self._in_order(query, after) if query.order == "dataset" else self._sorted(query, after)

    def unit_of(self, key: str) -> int | None:
        """The unit with the sample ``key``; None where no box belongs to such a sample."""
        known = self._unit_of.get(key)
        if known is None:
            rows = self._ask(self._units, "SELECT unit FROM boxes WHERE key = ? LIMIT 1", [key])
            self._remember((key, unit) for (unit,) in rows)
        return self._unit_of.get(key)

    def totals(self, query: ReviewQuery) -> Totals:
        """The number of samples and boxes that match."""
        where, values = _condition(query)
        if not self._units:
            return Totals(0, 0, True)
        [[boxes, about]] = self._ask(
            self._units, f"SELECT count(*), approx_count_distinct(key) FROM boxes WHERE {where}", values
        )
        if boxes > EXACT_COUNT_BOXES:
            return Totals(about, boxes, False)
        [[samples]] = self._ask(self._units, f"SELECT count(DISTINCT key) FROM boxes WHERE {where}", values)
        return Totals(samples, boxes, True)

    def _in_order(self, query: ReviewQuery, after: str | None) -> FoundPage:
        """A page ordered by unit and row; only as many tables are read as are needed for it."""
        start, row = _place(after)
        where, values = _condition(query)
        sql = (
            f"SELECT unit, min(row) AS first, key, count(*), max(score) FROM boxes WHERE {where} "
            f"AND (unit > ? OR row >= ?) GROUP BY unit, key ORDER BY unit, first LIMIT {PAGE_SAMPLES + 1}"
        )
        rows: list[Any] = []
        units = iter([unit for unit in self._units if unit >= start])
        tables = FIRST_TABLES
        while len(rows) <= PAGE_SAMPLES and (some := list(islice(units, tables))):
            rows += self._ask(some, sql, [*values, start, row])
            tables *= 2  # so that a search for rare boxes needs few queries
        shown, rest = rows[:PAGE_SAMPLES], rows[PAGE_SAMPLES:]
        judged = self._judged_in({key: unit for unit, _, key, _, _ in shown})
        samples = [FoundSample(key, boxes, round(best, 4), judged.get(key, 0)) for _, _, key, boxes, best in shown]
        return FoundPage(samples, f"{rest[0][0]}:{rest[0][1]}" if rest else None)

    def _sorted(self, query: ReviewQuery, after: str | None) -> FoundPage:
        """A page ordered by score or at random: each sample stands at the place of its first box on the page.

        A page begins at a given box and not after a number of boxes, since boxes judged meanwhile may not match again.
        """
        measure = _MEASURES[query.order]
        where, values = _condition(query)
        if after is not None:
            where += f" AND ({measure}, unit, row) >= (?, ?, ?)"
            values += _sorted_place(after)
        most = PAGE_SAMPLES * 20
        sql = (
            f"SELECT unit, row, key, score, {measure} AS measure FROM boxes WHERE {where} ORDER BY measure, unit, row "
            f"LIMIT {most + 1}"
        )
        rows = self._ask(self._units, sql, values)
        found: dict[str, list[float]] = {}
        used = 0
        for _, _, key, score, _ in rows[:most]:
            if key not in found and len(found) == PAGE_SAMPLES:
                break
            found.setdefault(key, []).append(score)
            used += 1
        judged = self._judged_in({key: unit for unit, _, key, _, _ in rows[:used]})
        samples = [
            FoundSample(key, len(scores), round(max(scores), 4), judged.get(key, 0)) for key, scores in found.items()
        ]
        following = [f"{place!r}:{unit}:{row}" for unit, row, _, _, place in rows[used : used + 1]]
        return FoundPage(samples, following[0] if following else None)

    def _judged_in(self, units: Mapping[str, int]) -> dict[str, int]:
        """The number of valid verdicts on each sample of a page; ``units``: the unit of each sample, by key. A query of
        its own, on these tables alone, because reading digests would slow down every search."""
        self._remember(units.items())
        if not self._judged:
            return {}
        sql = "SELECT DISTINCT key, image_sha256, caption_sha256 FROM boxes WHERE list_contains(?, key)"
        rows = self._ask(sorted(set(units.values())), sql, [list(units)])
        return {key: self._judged.get((image, caption), 0) for key, image, caption in rows}

    def _remember(self, places: Iterable[tuple[str, int]]) -> None:
        with self._lock:
            if len(self._unit_of) > MAX_REMEMBERED_KEYS:
                self._unit_of.clear()
            self._unit_of.update(places)

    def _ask(self, units: Sequence[int], sql: str, values: Sequence[object]) -> list[Any]:
        """The rows of an SQL query on the table ``boxes`` of some units. RuntimeError for a damaged table."""
        if not units:
            return []
        files = [self._files[unit] for unit in units]
        boxes = (
            f"WITH boxes AS (SELECT {COLUMNS}, CAST(parse_filename(filename, true) AS BIGINT) AS unit, "
            "file_row_number AS row FROM read_parquet(?, filename = true, file_row_number = true)) "
        )
        with naming_damage(), self._connection.cursor() as cursor:
            return list(cursor.execute(boxes + sql, [files, *values]).fetchall())


def _condition(query: ReviewQuery) -> tuple[str, list[object]]:
    """The condition of a query, as SQL without any value of a request, and the values for its question marks."""
    parts = ["round(CAST(score AS DOUBLE), 6) BETWEEN ? AND ?"]  # scores are short decimals stored as float32
    bound: list[object] = [query.min_score, query.max_score]
    if query.phrase.strip():
        parts.append("contains(lower(phrase_text), lower(?))")
        bound.append(query.phrase.strip())
    if query.size != "any":
        parts.append(_SIZES[query.size])
    if query.state == "unreviewed":
        parts.append(f"NOT {_JUDGED})")
    elif query.state == "reviewed":
        parts.append(f"{_JUDGED})")
    elif query.state != "any":
        parts.append(f"{_JUDGED} WHERE verdict = ?)")
        bound.append(query.state)
    return " AND ".join(parts), bound


def _table(rows: Sequence[Sequence[str]], names: Sequence[str]) -> pa.Table:
    return pa.table({name: pa.array([row[place] for row in rows], pa.string()) for place, name in enumerate(names)})


def _place(after: str | None) -> tuple[int, int]:
    """Unit and row at which a page begins, in the order of the dataset. ValueError where ``after`` is invalid."""
    first, colon, second = (after or "0:0").partition(":")
    if not (colon and first.isdecimal() and second.isdecimal() and len(first) + len(second) < 24):
        raise _no_beginning(after)
    return int(first), int(second)


def _sorted_place(after: str) -> tuple[float, int, int]:
    """The box at which a page begins: the value that it is sorted by, unit and row. ValueError where it is invalid."""
    found = _SORTED_PLACE.fullmatch(after)
    if found is None:
        raise _no_beginning(after)
    measure, unit, row = found.groups()
    return int(measure) if measure.isdecimal() else float(measure), int(unit), int(row)


def _no_beginning(after: str | None) -> ValueError:
    return ValueError(f"{after!r} is not the beginning of a page; take `next` of the page before")
