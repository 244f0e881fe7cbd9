"""Lists of url and caption (Conceptual Captions, SBU, LAION); the pictures are downloaded inside the job.

In: TSV, CSV, JSONL or Parquet. Out: units of rows of the list, and for a unit the captioned images that could be
downloaded, with a Reject for every other row. Reasons of failed downloads: see :mod:`engine.sources.download`.

**What happens exactly once.** The list is fixed by its fingerprint, so every row is in one unit and has one outcome,
and a committed unit stays as it is. The web is not fixed: a unit that is done again, after a crash or by another job,
may find that a picture is gone or has changed. So two runs over one list need not give the same bytes, but a run that
is interrupted and resumed never downloads what it has committed.

A unit is finished when its slowest download is. For a long list, choose a ``unit_size`` of a thousand rows or more,
several times ``concurrency``.
"""

from __future__ import annotations

from engine.sources import Problem
from engine.sources.columns import CAPTION_NAMES, URL_NAMES, cell_text, pick_column
from engine.sources.download import Download, Downloader
from engine.sources.own_columns import OwnColumns
from engine.sources.parquet_layout import read_schema
from engine.sources.parquet_rows import ParquetRows
from engine.sources.places import Files
from engine.sources.table import Cells, Table, TableRow
from engine.sources.text_rows import TextRows
from schemas.recipes import UrlsSource
from schemas.records import CaptionedImage, Reject, UnitRef

SUFFIXES = (".tsv", ".txt", ".csv", ".jsonl", ".parquet")


class Urls:
    """A :class:`~engine.sources.Source` of lists of urls. ValueError where a column is missing."""

    def __init__(self, recipe: UrlsSource) -> None:
        self._recipe = recipe
        self._downloader = Downloader(recipe)
        self._own = OwnColumns(recipe)
        files = Files(recipe.uri, SUFFIXES)
        kinds = {"." + file.name.lower().rpartition(".")[2] for file in files.all}
        if len(kinds) != 1 or not kinds <= set(SUFFIXES):
            raise ValueError(f"source {recipe.uri} has files of {sorted(kinds)}; a list is of one of {SUFFIXES}")
        rows = self._open_parquet(files) if kinds == {".parquet"} else self._open_text(files)
        self._table = Table(rows, recipe.uri, [self._url, self._caption], self._key, self._own)

    def units(self, unit_size: int) -> list[UnitRef]:
        return self._table.units(unit_size)

    def fingerprint(self) -> str:
        """The digest of the list, not of the pictures."""
        return self._table.fingerprint()

    def part_digest(self, uri: str) -> str:
        return self._table.part_digest(uri)

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        asked = [row if isinstance(row, Reject) else self._asked(row) for row in self._table.read(ref)]
        wanted = [one for one in asked if not isinstance(one, Reject)]
        found = iter(self._downloader.download([url for _, url, _ in wanted]))
        return [one if isinstance(one, Reject) else self._outcome(*one, next(found)) for one in asked]

    def _asked(self, row: TableRow) -> tuple[TableRow, str, str] | Reject:
        """A row with its url and caption, or a reject where one of these is missing or invalid."""
        url = cell_text(row.cells.get(self._url), "url", self._url)
        caption = cell_text(row.cells.get(self._caption), "caption", self._caption)
        if isinstance(url, Problem):
            return row.reject(url)
        if isinstance(caption, Problem):
            return row.reject(caption)
        return row, url, caption

    def _outcome(self, row: TableRow, url: str, caption: str, found: Download | Problem) -> CaptionedImage | Reject:
        if isinstance(found, Problem):  # not by row.reject: the message begins with the url, not with the row's place
            return Reject(row.key, "read", found.reason, found.message)
        columns = self._own.carried(row.cells)
        return CaptionedImage(row.key, found.content, found.extension, caption, url, columns=columns)

    def _open_parquet(self, files: Files) -> ParquetRows:
        self._name_columns(read_schema(files).names)
        columns = [self._url, self._caption, *([self._key] if self._key else []), *self._own.names]
        return ParquetRows(files, columns, columns)

    def _open_text(self, files: Files) -> TextRows:
        recipe = self._recipe
        named = (recipe.url_column, recipe.caption_column, recipe.key_column, *self._own.names)
        own = (name.lower() for name in named if name is not None and not name.isdigit())
        rows = TextRows(files, frozenset((*URL_NAMES, *CAPTION_NAMES, *own)))
        if "0" in rows.names and recipe.url_column is None:
            self._name_numbers(rows.first_row)
            self._own.check(rows.names, recipe.uri)
        else:
            self._name_columns(rows.names)
        return rows

    def _name_columns(self, there: list[str]) -> None:
        recipe = self._recipe
        self._url = pick_column(there, recipe.url_column, URL_NAMES, "url", recipe.uri)
        self._caption = pick_column(there, recipe.caption_column, CAPTION_NAMES, "caption", recipe.uri)
        self._key = recipe.key_column and pick_column(there, recipe.key_column, (), "key", recipe.uri)
        self._own.check(there, recipe.uri)

    def _name_numbers(self, first: Cells) -> None:
        """Find the url and caption columns of a table without header, by the cells of its first row."""
        url = next((number for number, text in first.items() if text.strip().startswith(("http://", "https://"))), None)
        caption = self._recipe.caption_column or next((number for number in first if number != url), None)
        if url is None or caption not in first:
            raise ValueError(
                f"{self._recipe.uri} has no line of names, and its first line no url and caption; name the columns "
                'by number: source.url_column="1", source.caption_column="0"'
            )
        self._url, self._caption, self._key = url, caption, self._recipe.key_column
