"""Captioned images in Parquet files: the bytes themselves, as Hugging Face ``datasets`` writes them, or paths.

In: a folder, a file, a glob or a brace expansion of ``.parquet``, local or of an object store. Out: units that keep to
the row groups, and the captioned images of a unit with the pictures' bytes untouched. Planning reads the footers (and a
key column, where there is one); a unit reads its own rows of the columns it needs.

Layout: https://huggingface.co/docs/datasets (an ``Image`` feature is a struct of ``bytes`` and ``path``).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from engine.artifacts import digest_of
from engine.sources.columns import (
    CAPTION_NAMES,
    IMAGE_NAMES,
    RepeatedRows,
    name_row,
    part_digest,
    pick_column,
    row_key,
    stripped_caption,
)
from engine.sources.image_files import ImageFolder, Problem, image_extension
from engine.sources.parquet_rows import ParquetRows, read_schema, slice_units
from engine.sources.places import Files
from schemas.recipes import ParquetSource
from schemas.records import CaptionedImage, Reject, UnitRef

Row = dict[str, Any]


class Parquet:
    """A :class:`~engine.sources.Source` over Parquet files. ValueError where the columns are not there or not such."""

    def __init__(self, recipe: ParquetSource) -> None:
        self._recipe = recipe
        files = Files(recipe.uri, (".parquet",))
        schema = read_schema(files)
        self._image = pick_column(schema.names, recipe.image_column, IMAGE_NAMES, "image", recipe.uri)
        self._caption = pick_column(schema.names, recipe.caption_column, CAPTION_NAMES, "caption", recipe.uri)
        self._key = recipe.key_column and pick_column(schema.names, recipe.key_column, (), "key", recipe.uri)
        paths = _is_path(schema.field(self._image), recipe.uri)
        texts = [self._caption, *([self._key] if self._key else []), *([self._image] if paths else [])]
        self._rows = ParquetRows(files, [self._image, self._caption, *([self._key] if self._key else [])], texts)
        self._repeats = RepeatedRows(self._rows.column(self._key) if self._key else ())
        root = files.system.unstrip_protocol(files.root) if recipe.images is None else recipe.images
        self._folder = ImageFolder(root, recipe.max_image_bytes)

    def units(self, unit_size: int) -> list[UnitRef]:
        return slice_units(self._rows.slices(unit_size), self._recipe.uri)

    def fingerprint(self) -> str:
        """Of the columns' names and of what :meth:`ParquetRows.digest` covers."""
        return digest_of([self._image, self._caption, self._key, self._rows.digest()])

    def part_digest(self, uri: str) -> str:
        """Of one file, of the number of its first row, and of its keys that an earlier file has."""
        return part_digest([self._image, self._caption, self._key], self._rows, self._repeats, uri)

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        rows = self._rows.read(ref.uri, ref.first_row, ref.rows)
        pictures = self._pictures(rows)
        return [
            self._outcome(row, picture, ref.uri, ref.first_row + place)
            for place, (row, picture) in enumerate(zip(rows, pictures, strict=True))
        ]

    def _pictures(self, rows: list[Row | str]) -> list[bytes | Problem]:
        """The bytes of each row's picture; those that are files are read together."""
        cells = [_cell(row, self._image) for row in rows]
        from_files = self._folder.read_all([cell for cell in cells if isinstance(cell, str)])
        files = iter(from_files)
        return [next(files) if isinstance(cell, str) else cell for cell in cells]

    def _outcome(self, row: Row | str, picture: bytes | Problem, name: str, place: int) -> CaptionedImage | Reject:
        number = self._rows.number_of(name, place)
        key = row_key(number)

        def reject(reason: str, message: str) -> Reject:
            return Reject(key, "read", reason, f"{name}#{place}: {message}")

        if isinstance(row, str):
            return reject("row_group_broken", row)
        key, problem = name_row(row, self._key, number, self._repeats)
        if problem:
            return reject(problem.reason, problem.message)
        caption = stripped_caption(row[self._caption])
        if caption is None:
            return reject("caption_missing", f"no text in column {self._caption!r}")
        if isinstance(picture, Problem):
            return reject(picture.reason, picture.message)
        if len(picture) > self._recipe.max_image_bytes:
            return reject("image_too_large", f"{len(picture)} bytes, more than max_image_bytes")
        extension = image_extension(picture)
        if extension is None:
            return reject("not_an_image", f"its {len(picture)} bytes begin as no picture's: {picture[:16]!r}")
        return CaptionedImage(key, picture, extension, caption, f"{name}#{place}")


def _cell(row: Row | str, column: str) -> bytes | str | Problem:
    """The bytes or the path in a row's image column."""
    value = row[column] if isinstance(row, dict) else None
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    return value if isinstance(value, (bytes, str)) else Problem("image_missing", f"nothing in column {column!r}")


def _is_path(field: Any, uri: str) -> bool:
    """Whether the image column holds paths; ValueError where it holds neither paths nor bytes."""
    kind = field.type
    if pa.types.is_struct(kind) and {"bytes", "path"} & {kind.field(i).name for i in range(kind.num_fields)}:
        return False
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return False
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    raise ValueError(
        f"column {field.name!r} of {uri} is {kind}; images are bytes, paths, or a struct of bytes and path"
    )
