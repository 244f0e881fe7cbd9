"""Pictures in a folder, with captions in text files beside them or in a table: what people have before they pack tars.

In: ``KEY.jpg`` and ``KEY.txt`` in one folder (or by a glob), or a table of picture and caption in ``.csv``, ``.tsv`` or
``.jsonl``, as Hugging Face's ``imagefolder`` has it (``metadata.csv``). Out: units of samples in the order of the
names, or of the table, with the pictures' bytes untouched. Planning reads all captions and no picture.

Source: https://huggingface.co/docs/datasets/image_dataset.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from posixpath import splitext
from typing import Any

from engine.artifacts import digest_of
from engine.sources.columns import CAPTION_NAMES, IMAGE_NAMES, URL_NAMES, pick_column, stripped_caption
from engine.sources.image_files import ImageFolder, Problem
from engine.sources.named_pictures import NamedPictures, NamedRow, with_unique_keys
from engine.sources.places import Files
from schemas.recipes import FolderSource
from schemas.records import CaptionedImage, Reject, UnitRef

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jp2")
PICTURES = (*_ENDINGS, *(ending.upper() for ending in _ENDINGS))
TABLES = (".csv", ".tsv", ".jsonl")
MAX_TABLE_BYTES = 1_000_000_000
MAX_CAPTION_BYTES = 1_000_000
# What a table calls the picture, beside what Parquet files call it.
NAMES = (*IMAGE_NAMES, "filename", "file", "path", "image_name")

# What is said of a row with more fields than names, which would lose the end of its caption silently.
MORE = "more fields than the line of names has; a caption with the separator in it stands in quotes"

Row = dict[str, Any]


class Folder:
    """A :class:`~engine.sources.Source` over one folder. ValueError where there is no picture, or no caption."""

    def __init__(self, recipe: FolderSource) -> None:
        self._recipe = recipe
        root, rows = recipe.uri, []
        if recipe.captions is None:
            files = Files(recipe.uri, PICTURES)
            root = files.system.unstrip_protocol(files.root)
            rows = _beside(files, root, recipe.uri)
        else:
            rows = list(_of_table(recipe, recipe.captions))
        self._rows = with_unique_keys(rows)
        self._pictures = NamedPictures(self._rows, ImageFolder(root, recipe.max_image_bytes))

    def units(self, unit_size: int) -> list[UnitRef]:
        return self._pictures.units(unit_size, "captions")

    def fingerprint(self) -> str:
        """Of the pictures' names and the captions. The pictures are not read."""
        return digest_of(["folder", [[row.file_name, row.caption, row.reason] for row in self._rows]])

    def part_digest(self, uri: str) -> str:
        return self.fingerprint()

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        return self._pictures.read(ref)


def _beside(files: Files, root: str, uri: str) -> list[NamedRow]:
    """A row for each picture, with the text file of the same name as its caption."""
    names = [file.name for file in files.all]
    texts = ImageFolder(root, MAX_CAPTION_BYTES).read_all([f"{splitext(name)[0]}.txt" for name in names])
    rows = [_row(_key(name), name, _text(found)) for name, found in zip(names, texts, strict=True)]
    if all(row.reason for row in rows):
        raise ValueError(
            f"source {uri} has {len(rows)} pictures and no caption; put each into a text file of the picture's name "
            "(dog.jpg, dog.txt), or give a table of both with --set source.captions=FILE.csv"
        )
    return rows


def _text(found: bytes | Problem) -> str | None:
    try:
        return None if isinstance(found, Problem) else found.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _of_table(recipe: FolderSource, uri: str) -> Iterator[NamedRow]:
    """A row for each of the table; a picture that several name has its further keys numbered."""
    rows = read_table(uri)
    there = next((list(row) for row in rows if not isinstance(row, Problem)), None)
    if there is None:
        raise ValueError(f"source {uri} holds no row below its line of names")
    if {name.lower() for name in there} & set(URL_NAMES) and not recipe.image_column:
        raise ValueError(f"source {uri} lists urls; `label` downloads those of a .tsv, .jsonl or .parquet file")
    picture = pick_column(there, recipe.image_column, NAMES, "image", uri)
    caption = pick_column(there, recipe.caption_column, CAPTION_NAMES, "caption", uri)
    root = f"{recipe.uri.rstrip('/')}/"
    seen: Counter[str] = Counter()
    for number, row in enumerate(rows):
        if isinstance(row, Problem):
            yield NamedRow(f"(row {number})", reason=row.reason, message=row.message)
            continue
        name = _name(row.get(picture)).removeprefix("./").removeprefix(root)
        key = _key(name)
        seen[key] += 1
        yield _row(key if seen[key] == 1 else f"{key}_{seen[key]}", name, row.get(caption), too_long=MORE in row)


def _row(key: str, name: str, caption: object, *, too_long: bool = False) -> NamedRow:
    text = stripped_caption(caption)
    if too_long:
        return NamedRow(key, name, reason="row_invalid", message=f"{name!r}: {MORE}")
    if text is None:
        return NamedRow(key, name, reason="caption_missing", message=f"{name!r} has no caption that is UTF-8 text")
    return NamedRow(key, name, text)


def _name(cell: object) -> str:
    """The text of a cell, whatever stands in it, as text that every file can hold."""
    return ("" if cell is None else str(cell)).strip().encode("utf-8", "backslashreplace").decode()


def _key(name: str) -> str:
    """The picture's name without its ending; folders and dots in it become ``_``."""
    return (splitext(name)[0] or "(no name)").replace("/", "_").replace(".", "_")


def read_table(uri: str) -> list[Row | Problem]:
    """The rows by the names of the first line, or of each JSON object; a Problem ``row_unreadable`` for a line of a
    ``.jsonl`` that is none. Bytes that are no UTF-8 are halves of surrogate pairs, but in the first line: ValueError
    where it is no such table."""
    files = Files(uri, TABLES)
    if len(files.all) != 1 or (files.all[0].size or 0) > MAX_TABLE_BYTES:
        raise ValueError(f"source {uri} is no single table of at most {MAX_TABLE_BYTES} bytes; more go into Parquet")
    with files.open_whole(files.all[0]) as opened:
        content = opened.read(MAX_TABLE_BYTES)
    try:
        content.partition(b"\n")[0].decode("utf-8-sig")
        text = content.decode("utf-8-sig", "surrogateescape")
        if files.all[0].name.endswith(".jsonl"):
            return [_object(line) for line in text.split("\n") if line.strip()]
        return list(_separated(text))
    except (ValueError, RecursionError, csv.Error) as error:
        raise ValueError(f"source {uri} is no table in UTF-8: {error}") from None


def _object(line: str) -> Row | Problem:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Problem("row_unreadable", f"the line is no JSON: {type(error).__name__}")
    return found if isinstance(found, dict) else Problem("row_unreadable", "the line is no JSON object")


def _separated(text: str) -> Iterator[Row]:
    """Rows of a CSV or TSV; what separates them is what splits the first line most."""
    first = text.partition("\n")[0]
    separator = max(",\t;|", key=first.count)
    lines = csv.DictReader(io.StringIO(text, newline=""), restkey=MORE, delimiter=separator, skipinitialspace=True)
    for row in lines:
        yield {name.strip(): value for name, value in row.items()}
