"""The tables that a report's numbers are asked of: filled once from a dataset, in a database on disk.

In: a dataset's units and what readers make of them (:mod:`engine.statistics.rows`). Out: ``images``, ``occurrences``,
``boxes``, and what is counted from them: ``phrases``, ``heads``. Texts from the data are rows of tables and
parameters, never part of a statement.

Unique counts are exact: DuckDB groups whole texts, and what does not fit its memory limit goes to its temporary folder.
Only pictures and captions are told apart by 128 bits of their SHA-256 instead of their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.box_tables import Connection
from engine.noun_phrases.lemmas import noun_lemma
from schemas.dataset_report import TableDefinition

PAIRS_AT_ONCE = 100_000
# Occurrences whose unique texts are grouped at once, so that they fit DuckDB's memory limit as it is by default.
ROWS_A_PART = 10_000_000
# What a phrase begins with that does not tell what it names.
_DETERMINERS = "a an the this that these those some any each every another other its his her their my your our"

FILLED = {
    "images": "image BIGINT, unit INTEGER, width INTEGER, height INTEGER, file_a UBIGINT, file_b UBIGINT, "
    "caption_a UBIGINT, caption_b UBIGINT, boxes INTEGER, phrases INTEGER",
    "occurrences": "occurrence BIGINT, image BIGINT, text VARCHAR, head_lemma VARCHAR, boxes INTEGER, "
    "score_sum DOUBLE, first_in_image BOOLEAN",
    "boxes": "image BIGINT, occurrence BIGINT, score FLOAT, x1 FLOAT, y1 FLOAT, x2 FLOAT, y2 FLOAT, width INTEGER, "
    "height INTEGER",
}
PHRASES = """
SELECT lower(text) AS phrase, min(head_lemma) AS head_lemma, count(*) AS occurrences,
       count(*) FILTER (first_in_image) AS images, sum(boxes)::BIGINT AS boxes, min(image) AS first_image
FROM occurrences GROUP BY lower(text)
"""
HEADS = """
WITH of_occurrences AS (
    SELECT head_lemma, count(*) AS occurrences, sum(boxes)::BIGINT AS boxes, sum(score_sum) / sum(boxes) AS mean_score
    FROM occurrences WHERE head_lemma IS NOT NULL GROUP BY head_lemma
), of_phrases AS (SELECT head_lemma, count(*) AS unique_phrases FROM phrases GROUP BY head_lemma)
SELECT head_lemma, occurrences, coalesce(unique_phrases, 0) AS unique_phrases, boxes, mean_score
FROM of_occurrences LEFT JOIN of_phrases USING (head_lemma)
"""
_WORDS = ", ".join(f"'{word}'" for word in _DETERMINERS.split())
_BARE = f"""CASE WHEN split_part(phrase, ' ', 1) IN ({_WORDS}) AND contains(phrase, ' ')
       THEN substr(phrase, strpos(phrase, ' ') + 1) ELSE phrase END"""
# The last word is the head where the head's lemma is its lemma, which a table of such pairs says.
LEMMAS = f"""
SELECT phrase, CASE WHEN last_word IS NULL THEN bare
       ELSE substr(bare, 1, length(bare) - length(last_word)) || head_lemma END AS lemma
FROM (SELECT *, {_BARE} AS bare FROM {{table}}) LEFT JOIN inflections
     ON split_part(bare, ' ', -1) = last_word AND head_lemma = lemma_of_last
"""
NEW_PHRASES = """
SELECT phrase, occurrences, images, boxes FROM phrases JOIN phrase_lemmas USING (phrase)
WHERE lemma NOT IN (SELECT lemma FROM human_lemmas)
"""
DEFINITIONS = {
    "images": "An image with at least one selected box, numbered in the order of the dataset. Its file and its "
    "caption are identified by their SHA-256, folded to 128 bits (file_a, file_b, caption_a, caption_b).",
    "occurrences": "A noun phrase of an image's caption with at least one selected box; first_in_image is false if "
    "the same caption has the same phrase (lower case) earlier.",
    "boxes": "A selected box: xyxy in pixels of the stored image.",
    "phrases": "A unique phrase in lower case; first_image is the first image that has it.",
    "heads": "A unique lemma of a phrase's head noun.",
    "phrase_lemmas": "A unique phrase in lower case with its lemma form: without a leading determiner, "
    "and with the last word as its lemma if it is the head.",
    "units": "A unit of the source that is whole, as its manifest says.",
    "stages": "A stage of a unit: samples that came in and went on, wall-clock seconds.",
    "drops": "Samples that a stage of a unit dropped for one reason.",
    "rejects": "Rejects by unit, stage, reason and the host of the url that the message begins with.",
}
_MANIFESTS = "read_json('manifests/*.json')"
_STAGES_OF_UNITS = (
    "(SELECT unit, unnest(stages) AS s FROM read_json('manifests/*.json', columns = {unit: 'INTEGER', stages: "
    "'STRUCT(stage VARCHAR, came_in BIGINT, went_on BIGINT, dropped MAP(VARCHAR, BIGINT), seconds DOUBLE)[]'}))"
)
SOURCES = {
    "images": "SELECT unit, key, any_value(width) AS width, any_value(height) AS height, count(*) AS boxes, "
    "count(DISTINCT phrase) AS phrases FROM annotations GROUP BY unit, key",
    "occurrences": "SELECT unit, key, phrase, any_value(phrase_text) AS text, any_value(head_lemma) AS head_lemma, "
    "count(*) AS boxes, sum(score) AS score_sum FROM annotations GROUP BY unit, key, phrase",
    "boxes": "SELECT unit, key, phrase, score, x1, y1, x2, y2, width, height FROM annotations",
    "phrases": PHRASES.strip(),
    "heads": HEADS.strip(),
    "phrase_lemmas": LEMMAS.format(table="phrases").strip(),
    "units": f"SELECT unit, source_uri, rows, samples, phrases, boxes, rejects, seconds, worker FROM {_MANIFESTS}",
    "stages": f"SELECT unit, s.stage, s.came_in, s.went_on, s.seconds FROM {_STAGES_OF_UNITS}",
    "drops": "SELECT unit, stage, drop.key AS reason, drop.value AS count FROM (SELECT unit, s.stage AS stage, "
    f"unnest(map_entries(s.dropped)) AS drop FROM {_STAGES_OF_UNITS})",
    "rejects": "SELECT filename, stage, reason, regexp_extract(message, '^https?://[^/?#]*') AS host, count(*) AS "
    "count FROM read_parquet('rejects/*.parquet', filename = true) GROUP BY ALL",
}
ANNOTATIONS = "`annotations` are the rows of annotations/*.parquet that the selection keeps, with the unit of the file."


class StatisticsTables:
    """The tables of one dataset in one database; ``schema`` keeps those of several apart."""

    def __init__(self, connection: Connection, schema: str = "main") -> None:
        self._connection = connection
        self.schema = schema
        self.has_human = False
        """Whether there is a vocabulary that phrases may be new to."""
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for table, columns in FILLED.items():
            self.create(table, columns)
        self.create("inflections", "last_word VARCHAR, lemma_of_last VARCHAR")
        self.create("human_phrases", "phrase VARCHAR, head_lemma VARCHAR")

    def _use(self) -> None:
        """Make the names of this dataset's tables mean them."""
        self._connection.execute(f"USE {self.schema}")

    def create(self, table: str, columns: str) -> None:
        """Make an empty table."""
        self._use()
        self._connection.execute(f"CREATE TABLE {table} ({columns})")

    def execute_on(self, rows: pa.Table, sql: str) -> None:
        """Run a statement in which ``arriving`` are these rows."""
        self._use()
        self._connection.register("arriving", rows)
        self._connection.execute(sql)
        self._connection.unregister("arriving")

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows by the names of their columns."""
        names = ", ".join(rows.column_names)
        self.execute_on(rows, f"INSERT INTO {table} ({names}) SELECT {names} FROM arriving")

    def insert_human(self, batches: Iterable[pa.Table]) -> None:
        """The vocabulary of human datasets: tables with ``phrase_text`` and ``head_lemma``."""
        self.has_human = True
        self.create("human_arriving", "phrase VARCHAR, head_lemma VARCHAR")
        for rows in batches:
            sql = "INSERT INTO human_arriving SELECT DISTINCT lower(phrase_text), head_lemma FROM arriving"
            self.execute_on(rows, sql)
        self._connection.execute("INSERT INTO human_phrases SELECT DISTINCT phrase, head_lemma FROM human_arriving")
        self._connection.execute("DROP TABLE human_arriving")

    def count(self) -> None:
        """Fill the tables that are counted from the other ones, once those are filled."""
        self._count_phrases()
        self._connection.execute(f"CREATE TABLE heads AS {HEADS}")
        for pairs in self._last_words():
            rows = [(word, lemma) for word, lemma in pairs if is_form_of(word, lemma)]
            columns = {"last_word": [word for word, _ in rows], "lemma_of_last": [lemma for _, lemma in rows]}
            self.insert("inflections", pa.table(columns, schema=pa.schema(dict.fromkeys(columns, pa.string()))))
        for name, table in (("phrase_lemmas", "phrases"), ("human_lemmas", "human_phrases")):
            self._connection.execute(f"CREATE VIEW {name} AS {LEMMAS.format(table=table)}")
        if self.has_human:
            self._connection.execute(f"CREATE TABLE new_phrases AS {NEW_PHRASES}")

    def _count_phrases(self) -> None:
        """Count part by part, each phrase in one part only, so that no part's grouping has to spill to disk."""
        parts = self._parts()
        self._connection.execute(f"CREATE TABLE phrases AS {PHRASES} LIMIT 0")
        for part in range(parts):
            own = PHRASES.replace("GROUP BY", f"WHERE hash(lower(text)) % {parts} = {part} GROUP BY")
            self._connection.execute(f"INSERT INTO phrases {own}")

    def _parts(self) -> int:
        return 1 + int(self.one("SELECT count(*) FROM occurrences")[0]) // ROWS_A_PART

    def _last_words(self) -> Iterator[list[tuple[str, str]]]:
        """Last words that are not their head's lemma already, with that lemma; as many as there are, some at a time."""
        both = "SELECT phrase, head_lemma FROM phrases UNION ALL SELECT phrase, head_lemma FROM human_phrases"
        asked = self._connection.cursor()
        asked.execute(f"USE {self.schema}")
        parts = self._parts()
        for part in range(parts):
            asked.execute(
                f"SELECT DISTINCT split_part(phrase, ' ', -1) AS word, head_lemma FROM ({both}) "
                f"WHERE head_lemma IS NOT NULL AND word <> head_lemma AND hash(word) % {parts} = {part}"
            )
            while pairs := asked.fetchmany(PAIRS_AT_ONCE):
                yield pairs

    def distinct(self, column: str, table: str) -> int:
        """As :func:`distinct_sql`, but counted part by part, as the phrases are."""
        parts = self._parts()
        conditions = (f"WHERE hash({column}) % {parts} = {part}" for part in range(parts))
        return sum(int(self.one(distinct_sql(column, table, condition))[0]) for condition in conditions)

    def definitions(self) -> list[TableDefinition]:
        """What the tables are, with the SQL that makes them."""
        return [
            TableDefinition(
                name=name,
                definition=f"{text} {ANNOTATIONS}" if name in FILLED else text,
                sql=SOURCES[name],
                rows=self.one(f"SELECT count(*) FROM {'phrases' if name == 'phrase_lemmas' else name}")[0],
            )
            for name, text in DEFINITIONS.items()
        ]

    def rows(self, sql: str, parameters: list[Any] | None = None) -> list[Any]:
        """The answer to a question, all of it."""
        self._use()
        found: list[Any] = self._connection.execute(sql, parameters or []).fetchall()
        return found

    def copy(self, sql: str, path: Path) -> None:
        """Write the answer to a question as a Parquet file, out of core."""
        self._use()
        self._connection.sql(sql).write_parquet(str(path), compression="zstd")

    def one(self, sql: str) -> tuple[Any, ...]:
        """The one row of an answer."""
        [row] = self.rows(sql)
        return tuple(row)


def distinct_sql(column: str, table: str, condition: str = "") -> str:
    """How many different values a column has."""
    return f"SELECT count(*) FROM (SELECT DISTINCT {column} FROM {table}{condition and f' {condition}'})"


def is_form_of(word: str, lemma: str) -> bool:
    """Whether a lower-case word is a form of the noun with this lemma, as :func:`noun_lemma` has it."""
    return lemma in (noun_lemma(word, plural=False), noun_lemma(word, plural=True))
