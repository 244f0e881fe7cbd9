"""Lists of url and caption (Conceptual Captions, SBU, LAION); the pictures are downloaded inside the job.

In: TSV, JSONL or Parquet. Out: units of rows of the list, and of a unit the captioned images that could be downloaded,
with a Reject for every other row. What can go wrong with a download, and the words for it: see
:mod:`engine.sources.download`.

**What is exactly once here.** The list is fixed by its fingerprint, so every row is in one unit and has one outcome,
and a unit that is committed stays as it is. The web is not fixed: a unit that is done again, after a crash or by
another job, may find a picture gone or changed. So two runs over one list need not give the same bytes, while one run
that is interrupted and gone on with never asks again for what it has committed.

A unit's downloads all end before the unit goes on, so the slowest server of a unit decides: take units of a thousand
rows or more (``unit_size``) where the list is long, several times ``concurrency``.
"""

from __future__ import annotations

from typing import Any

from engine.artifacts import digest_of
from engine.sources.columns import (
    CAPTION_NAMES,
    URL_NAMES,
    RepeatedRows,
    name_row,
    part_digest,
    pick_column,
    row_key,
    stripped_caption,
)
from engine.sources.download import Download, Downloader
from engine.sources.image_files import Problem
from engine.sources.parquet_rows import ParquetRows, read_schema, slice_units
from engine.sources.places import Files
from engine.sources.text_rows import TextRows
from schemas.recipes import UrlsSource
from schemas.records import CaptionedImage, Reject, UnitRef

SUFFIXES = (".tsv", ".txt", ".jsonl", ".parquet")
Row = dict[str, Any]


class Urls:
    """A :class:`~engine.sources.Source` over lists of urls. ValueError where the columns are not there."""

    def __init__(self, recipe: UrlsSource) -> None:
        self._recipe = recipe
        self._downloader = Downloader(recipe)
        files = Files(recipe.uri, SUFFIXES)
        kinds = {"." + file.name.rpartition(".")[2] for file in files.all}
        if len(kinds) != 1 or not kinds <= set(SUFFIXES):
            raise ValueError(f"source {recipe.uri} has files of {sorted(kinds)}; a list is of one of {SUFFIXES}")
        self._rows = self._open_parquet(files) if kinds == {".parquet"} else self._open_text(files)
        self._repeats = RepeatedRows(self._rows.column(self._key) if self._key else ())

    def units(self, unit_size: int) -> list[UnitRef]:
        return slice_units(self._rows.slices(unit_size), self._recipe.uri)

    def fingerprint(self) -> str:
        """Of the list: its columns' names and its content. Not of what the urls lead to."""
        return digest_of([self._url, self._caption, self._key, self._rows.digest()])

    def part_digest(self, uri: str) -> str:
        """Of one file, of the number of its first row, and of its keys that an earlier file has."""
        return part_digest([self._url, self._caption, self._key], self._rows, self._repeats, uri)

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        rows = self._rows.read(ref.uri, ref.first_row, ref.rows)
        asked = [self._asked(row, ref.uri, ref.first_row + place) for place, row in enumerate(rows)]
        wanted = [one for one in asked if not isinstance(one, Reject)]
        found = iter(self._downloader.download([url for _, url, _ in wanted]))
        return [one if isinstance(one, Reject) else _outcome(*one, next(found)) for one in asked]

    def _asked(self, row: Row | str, name: str, place: int) -> tuple[str, str, str] | Reject:
        """Key, url and caption of a row, or why it is not asked for."""
        number = self._rows.number_of(name, place)
        key = row_key(number)

        def reject(reason: str, message: str) -> Reject:
            return Reject(key, "read", reason, f"{name}#{place}: {message}")

        if isinstance(row, str):
            return reject("row_unreadable", row)
        key, problem = name_row(row, self._key, number, self._repeats)
        if problem:
            return reject(problem.reason, problem.message)
        url, caption = stripped_caption(row.get(self._url)), stripped_caption(row.get(self._caption))
        if url is None:
            return reject("url_missing", f"no text in column {self._url!r}")
        if caption is None:
            return reject("caption_missing", f"no text in column {self._caption!r}")
        return key, url, caption

    def _open_parquet(self, files: Files) -> ParquetRows:
        self._name_columns(read_schema(files).names)
        columns = [self._url, self._caption, *([self._key] if self._key else [])]
        return ParquetRows(files, columns, columns)

    def _open_text(self, files: Files) -> TextRows:
        named = (self._recipe.url_column, self._recipe.caption_column, self._recipe.key_column)
        own = (name.lower() for name in named if name is not None and not name.isdigit())
        rows = TextRows(files, frozenset((*URL_NAMES, *CAPTION_NAMES, *own)))
        if "0" in rows.names and self._recipe.url_column is None:
            self._name_numbers(rows.first_row)
        else:
            self._name_columns(rows.names)
        return rows

    def _name_columns(self, there: list[str]) -> None:
        recipe = self._recipe
        self._url = pick_column(there, recipe.url_column, URL_NAMES, "url", recipe.uri)
        self._caption = pick_column(there, recipe.caption_column, CAPTION_NAMES, "caption", recipe.uri)
        self._key = recipe.key_column and pick_column(there, recipe.key_column, (), "key", recipe.uri)

    def _name_numbers(self, first: Row) -> None:
        """The columns of a TSV without a line of names, by what stands in its first line."""
        url = next((number for number, text in first.items() if text.strip().startswith(("http://", "https://"))), None)
        caption = self._recipe.caption_column or next((number for number in first if number != url), None)
        if url is None or caption not in first:
            raise ValueError(
                f"{self._recipe.uri} has no line of names, and its first line no url and caption; name the columns "
                'by number: source.url_column="1", source.caption_column="0"'
            )
        self._url, self._caption, self._key = url, caption, self._recipe.key_column


def _outcome(key: str, url: str, caption: str, found: Download | Problem) -> CaptionedImage | Reject:
    if isinstance(found, Problem):
        return Reject(key, "read", found.reason, found.message)
    return CaptionedImage(key, found.content, found.extension, caption, url)
