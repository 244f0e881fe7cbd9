"""The numbers of a report as Parquet tables, for whoever goes on computing: one folder a dataset, numbered as in the
report.

    tables/0/numbers.parquet      name, title, value, unit, section, definition, sql
    tables/0/histograms.parquet   a row a bin
    tables/0/phrases.parquet      unique phrases in lower case, the most frequent ``MAX_PHRASES``
    tables/0/head_lemmas.parquet  every head lemma
    tables/0/units.parquet        a row a unit: rows, samples, boxes, seconds, worker
    tables/0/rejects.parquet      a row for each unit, stage, reason and host
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pyarrow as pa

from engine.artifacts import Store
from engine.statistics import DatasetStatistics
from engine.storage.parquet_tables import parquet_bytes

MAX_PHRASES = 1_000_000
_ASKED = {
    "phrases": "SELECT phrase, head_lemma, occurrences, images, boxes FROM phrases "
    f"ORDER BY occurrences DESC, phrase LIMIT {MAX_PHRASES}",
    "head_lemmas": "SELECT head_lemma, occurrences, unique_phrases, boxes, round(mean_score, 6) AS mean_score "
    "FROM heads ORDER BY occurrences DESC, head_lemma",
    "units": "SELECT * FROM units ORDER BY unit",
    "rejects": "SELECT unit, stage, reason, host, sum(count)::BIGINT AS count FROM rejects GROUP BY ALL ORDER BY ALL",
}


def write_tables(store: Store, number: int, statistics: DatasetStatistics) -> None:
    """Write the tables of dataset ``number`` of the report; the database is still open."""
    report = statistics.report
    numbers = [one.model_dump(include={*_NUMBERS}) for one in report.numbers]
    store.write(_name(number, "numbers"), parquet_bytes(pa.Table.from_pylist(numbers, _NUMBERS_SCHEMA)))
    shown = [*report.histograms, *([report.unit_seconds] if report.unit_seconds else [])]
    bins = [
        {"name": one.name, "unit": one.unit, "low": low, "high": high, "count": count}
        for one in shown
        for low, high, count in zip(one.edges, one.edges[1:], one.counts, strict=False)
    ]
    store.write(_name(number, "histograms"), parquet_bytes(pa.Table.from_pylist(bins, _BINS_SCHEMA)))
    with tempfile.TemporaryDirectory(prefix="glip-engine-") as folder:
        for name, sql in _ASKED.items():
            path = Path(folder) / f"{name}.parquet"
            statistics.tables.copy(sql, path)
            with path.open("rb") as answer, store.writing(_name(number, name)) as file:
                shutil.copyfileobj(answer, file)
            path.unlink()


_NUMBERS = ("name", "title", "value", "unit", "section", "definition", "sql")
_NUMBERS_SCHEMA = pa.schema([(name, pa.float64() if name == "value" else pa.string()) for name in _NUMBERS])
_BINS_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("unit", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("count", pa.int64()),
    ]
)


def _name(number: int, table: str) -> str:
    return f"tables/{number}/{table}.parquet"
