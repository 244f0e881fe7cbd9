"""Pictures in a folder, with captions in text files beside them or in a table.

In: ``KEY.jpg`` and ``KEY.txt`` in a folder and its folders (or by a glob), or a table of picture and caption in
``.csv``, ``.tsv`` or ``.jsonl``, as Hugging Face's ``imagefolder`` has it (``metadata.csv``). Out: units of samples in
the order of the names, or of the table, with the pictures' bytes untouched. Planning reads all captions and no picture.

Source: https://huggingface.co/docs/datasets/image_dataset.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from posixpath import splitext
from typing import Any

from engine.artifacts import digest_of
from engine.shards import key_of_name
from engine.sources import Problem
from engine.sources.columns import CAPTION_NAMES, IMAGE_NAMES, cell_text, field_names, lists_urls, pick_column
from engine.sources.image_files import ENDINGS, ImageFolder
from engine.sources.named_pictures import NamedPictures, NamedRow, named_row, with_unique_keys
from engine.sources.own_columns import OwnColumns
from engine.sources.places import Files
from engine.sources.sayable import sayable
from engine.sources.text_records import csv_cells, csv_fields, json_cells, next_csv_record, separator_of
from schemas.recipes import FolderSource
from schemas.records import CaptionedImage, Reject, UnitRef

PICTURES = tuple(f".{ending}" for ending in ENDINGS)
TABLES = (".csv", ".tsv", ".jsonl")
MAX_TABLE_BYTES = 1_000_000_000
MAX_CAPTION_BYTES = 1_000_000
# Names of a table's picture column, besides those of Parquet files.
NAMES = (*IMAGE_NAMES, "filename", "file", "path", "image_name")

Row = dict[str, Any]


class Folder:
    """A :class:`~engine.sources.Source` over one folder. ValueError where there is no picture, or no caption."""

    def __init__(self, recipe: FolderSource) -> None:
        self._recipe = recipe
        root, own = recipe.uri, OwnColumns(recipe)
        rows: Iterable[NamedRow]
        if recipe.captions is None:
            files = Files(recipe.uri, PICTURES, deep=True)
            root = files.system.unstrip_protocol(files.root)
            rows = _beside(files, root, recipe.uri, own)
        else:
            rows = _of_table(recipe, recipe.captions, own)
        self._rows = with_unique_keys(rows)
        self._pictures = NamedPictures(self._rows, ImageFolder(root, recipe.max_image_bytes))

    def units(self, unit_size: int) -> list[UnitRef]:
        return self._pictures.units(unit_size, "captions")

    def fingerprint(self) -> str:
        """The digest of the pictures' names, the captions and the carried columns. The pictures are not read."""
        told = [[one.file_name, one.caption, one.reason, *([one.columns] if one.columns else [])] for one in self._rows]
        return digest_of(["folder", told])

    def part_digest(self, uri: str) -> str:
        return self.fingerprint()

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        return self._pictures.read(ref)


def _beside(files: Files, root: str, uri: str, own: OwnColumns) -> list[NamedRow]:
    """A row for each picture, with the text file of the same name as its caption. There are no columns."""
    if own.names:
        raise ValueError(f"source {uri}: keep and carry name columns of a table, so give one with source.captions")
    names = [file.name for file in files.all]
    texts = _texts(ImageFolder(root, MAX_CAPTION_BYTES), names)
    rows = [named_row(_key(name), name, _text(name, found), {}, own) for name, found in zip(names, texts, strict=True)]
    if all(row.reason == "caption_missing" for row in rows):
        raise ValueError(
            f"source {uri} has no caption for any picture of {len(rows)}; put each into a text file of the picture's "
            "name (dog.jpg, dog.txt), or give a table of both with --set source.captions=FILE.csv"
        )
    return rows


def _texts(folder: ImageFolder, names: Sequence[str]) -> list[bytes | Problem]:
    """The content of each picture's text file; its extension may be in capitals."""
    found = list(folder.read_all(f"{splitext(name)[0]}.txt" for name in names))
    missing = [place for place, one in enumerate(found) if isinstance(one, Problem)]
    for place, one in zip(missing, folder.read_all([f"{splitext(names[n])[0]}.TXT" for n in missing]), strict=True):
        found[place] = one
    return found


def _text(name: str, found: bytes | Problem) -> str | Problem:
    """The caption of the picture ``name`` in the content of its text file."""
    try:
        text = "" if isinstance(found, Problem) else found.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return Problem("caption_unreadable", f"the text file of {name!r} is not UTF-8")
    return text or Problem("caption_missing", f"{name!r} has no caption in a text file of its name")


def _of_table(recipe: FolderSource, uri: str, own: OwnColumns) -> Iterator[NamedRow]:
    """A row for each row of the table. If several name one picture, the keys of the later ones are numbered."""
    rows = read_table(uri)
    there = field_names(rows)
    if not there:
        raise ValueError(f"source {uri} holds no row below its line of names")
    if lists_urls(there, NAMES) and not recipe.image_column:
        raise ValueError(f"source {uri} lists urls; `glip-engine label {uri}` downloads them")
    picture = pick_column(there, recipe.image_column, NAMES, "image", uri)
    caption = pick_column(there, recipe.caption_column, CAPTION_NAMES, "caption", uri)
    own.check(there, f"the table {uri}")
    root = f"{recipe.uri.rstrip('/')}/"
    seen: Counter[str] = Counter()
    for number, row in enumerate(rows):
        if isinstance(row, Problem):
            yield NamedRow(f"(row {number})", problem=row)
            continue
        name = _name(row.get(picture)).removeprefix("./").removeprefix(root)
        key = _key(name)
        seen[key] += 1
        key = key if seen[key] == 1 else f"{key}_{seen[key]}"
        yield named_row(key, name, cell_text(row.get(caption), "caption", caption), row, own)


def _name(cell: object) -> str:
    """The text of any cell."""
    return sayable("" if cell is None else str(cell).strip())


def _key(name: str) -> str:
    """The key for a picture: its path without extension, in a form that is valid as a key."""
    return key_of_name(splitext(name)[0] or "(no name)")


def read_table(uri: str) -> list[Row | Problem]:
    """The rows of a table, by the names in its first line or in each JSON object; a Problem for each invalid row.

    Bytes that are not UTF-8 become lone surrogates. ValueError where the file is no such table, is too large, or has a
    first line that is not UTF-8.
    """
    files = Files(uri, TABLES)
    content = files.read_single(MAX_TABLE_BYTES)
    if content is None:
        raise ValueError(f"source {uri} is not a single table of at most {MAX_TABLE_BYTES} bytes; more go into Parquet")
    try:
        content.partition(b"\n")[0].decode("utf-8-sig")
        if not files.all[0].name.lower().endswith(".jsonl"):
            return list(_separated(content))
        text = content.decode("utf-8-sig", "surrogateescape")
        return [json_cells(line) for line in text.split("\n") if line.strip()]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"source {uri} is not a table in UTF-8: {error}") from None


def _separated(content: bytes) -> Iterator[Row | Problem]:
    """The rows of a CSV or TSV, without blank lines. The separator is the one that splits the first line most."""
    file = io.BytesIO(content)
    separator = separator_of(file)
    names = [name.strip() for name in csv_fields(next_csv_record(file, separator) or b"", separator)]
    while (record := next_csv_record(file, separator)) != b"":
        if record is None or record.strip():
            yield csv_cells(record, names, separator)
