"""Captioned images in Parquet files: the bytes themselves, as Hugging Face ``datasets`` writes them, or paths.

In: a folder, a file, a glob or a brace expansion of ``.parquet``, local or of an object store. Out: units aligned to
row groups, and the captioned images of a unit with the pictures' bytes untouched. Planning reads the footers (and a key
column, where there is one); a unit reads only its own rows of the columns that it needs.

Layout: https://huggingface.co/docs/datasets (an ``Image`` feature is a struct of ``bytes`` and ``path``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from engine.sources import Problem
from engine.sources.columns import CAPTION_NAMES, IMAGE_NAMES, Oversized, cell_text, pick_column
from engine.sources.image_files import ImageFolder
from engine.sources.own_columns import OwnColumns
from engine.sources.parquet_layout import read_schema
from engine.sources.parquet_rows import ParquetRows
from engine.sources.places import Files
from engine.sources.table import Table, TableRow
from engine.sources.unit_bytes import UnitBytes
from schemas.pictures import image_extension
from schemas.recipes import ParquetSource
from schemas.records import CaptionedImage, Reject, UnitRef

_TEXTS = ("string", "large_string", "string_view", "null")
Picture = tuple[bytes, str]
"""Bytes and extension."""
Asked = tuple[TableRow, str, Picture | str]
"""A row, its caption, and its picture or the picture's path."""


class Parquet:
    """A :class:`~engine.sources.Source` of Parquet files. ValueError where columns are missing or of another type."""

    def __init__(self, recipe: ParquetSource) -> None:
        self._max_bytes = recipe.max_image_bytes
        files, self._own = Files(recipe.uri, (".parquet",)), OwnColumns(recipe)
        schema = read_schema(files)
        self._image = pick_column(schema.names, recipe.image_column, IMAGE_NAMES, "image", recipe.uri)
        self._caption = pick_column(schema.names, recipe.caption_column, CAPTION_NAMES, "caption", recipe.uri)
        key = recipe.key_column and pick_column(schema.names, recipe.key_column, (), "key", recipe.uri)
        self._own.check(schema.names, recipe.uri)
        are_paths = _is_path(schema.field(self._image), recipe.uri)
        _check_text(schema.field(self._caption), recipe.uri)
        texts = [self._caption, *([key] if key else []), *([self._image] if are_paths else []), *self._own.names]
        rows = ParquetRows(files, [self._image, *texts], texts, recipe.max_image_bytes)
        self._table = Table(rows, recipe.uri, [self._image, self._caption], key, self._own)
        root = files.system.unstrip_protocol(files.root) if recipe.images is None else recipe.images
        self._folder = ImageFolder(root, recipe.max_image_bytes)

    def units(self, unit_size: int) -> list[UnitRef]:
        return self._table.units(unit_size)

    def fingerprint(self) -> str:
        return self._table.fingerprint()

    def part_digest(self, uri: str) -> str:
        return self._table.part_digest(uri)

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        room = UnitBytes()
        asked = [row if isinstance(row, Reject) else self._asked(row, room) for row in self._table.read(ref)]
        paths = [one[2] for one in asked if not isinstance(one, Reject) and isinstance(one[2], str)]
        files = self._folder.read_all(paths)
        return [one if isinstance(one, Reject) else self._outcome(*one, files, room) for one in asked]

    def _asked(self, row: TableRow, room: UnitBytes) -> Asked | Reject:
        caption = cell_text(row.cells[self._caption], "caption", self._caption)
        if isinstance(caption, Problem):
            return row.reject(caption)
        value = row.cells[self._image]
        if isinstance(value, Oversized):
            return row.reject(Problem("image_too_large", f"{value.size} bytes, more than max_image_bytes"))
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, str):
            return row, caption, value
        if not isinstance(value, bytes):
            return row.reject(Problem("image_missing", f"nothing in column {self._image!r}"))
        picture = self._picture(value, room)
        return row.reject(picture) if isinstance(picture, Problem) else (row, caption, picture)

    def _picture(self, content: bytes, room: UnitBytes) -> Picture | Problem:
        if len(content) > self._max_bytes:
            return Problem("image_too_large", f"{len(content)} bytes, more than max_image_bytes")
        extension = image_extension(content)
        if extension is None:
            return Problem("not_an_image", f"its {len(content)} bytes begin as no picture's: {content[:16]!r}")
        return room.over(len(content)) or (content, extension)

    def _outcome(
        self, row: TableRow, caption: str, value: Picture | str, files: Iterator[bytes | Problem], room: UnitBytes
    ) -> CaptionedImage | Reject:
        """The sample of a row. ``files`` are the contents of the files that rows with paths name, in order."""
        picture = value if isinstance(value, tuple) else next(files)
        picture = self._picture(picture, room) if isinstance(picture, bytes) else picture
        if isinstance(picture, Problem):
            return row.reject(picture)
        columns = self._own.carried(row.cells)
        return CaptionedImage(row.key, *picture, caption, row.locator, columns=columns)


def _is_path(field: Any, uri: str) -> bool:
    """Whether the image column holds paths; ValueError where it holds neither paths nor bytes."""
    kind = _stored_type(field)
    if pa.types.is_struct(kind) and {"bytes", "path"} & {kind.field(i).name for i in range(kind.num_fields)}:
        return False
    if _is_any(kind, "binary", "large_binary", "binary_view", "fixed_size_binary"):
        return False
    if _is_any(kind, *_TEXTS):
        return True
    raise ValueError(
        f"column {field.name!r} of {uri} is {kind}; images are bytes, paths, or a struct of bytes and path"
    )


def _check_text(field: Any, uri: str) -> None:
    """Raise ValueError where a column cannot hold captions; otherwise every row would become a reject."""
    kind = _stored_type(field)
    if not _is_any(kind, *_TEXTS):
        raise ValueError(
            f"column {field.name!r} of {uri} is {kind}; a caption is one text: name another with "
            "source.caption_column, or write a row for each caption"
        )


def _stored_type(field: Any) -> Any:
    """The type of a column's values, also where they are dictionary-encoded."""
    return field.type.value_type if pa.types.is_dictionary(field.type) else field.type


def _is_any(kind: Any, *names: str) -> bool:
    return any(getattr(pa.types, f"is_{name}")(kind) for name in names)
