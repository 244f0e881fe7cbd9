"""Captioned images as img2dataset writes them: tar files of ``KEY.jpg`` + ``KEY.txt`` and/or ``KEY.json``.

In: a folder of tars, one tar, or a glob, local or of an object store. Out: units of rows, none spanning two tars, and
the captioned images of a unit with the pictures' bytes untouched. Tars come from outside: whatever they hold, a row is
a sample or a Reject with a reason, and nothing is ever extracted to a disk (see :mod:`engine.sources.tar_index`).

Layout: https://github.com/rom1504/img2dataset (output format ``webdataset``).
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec

from engine.artifacts import digest_of
from engine.sources.tar_index import Member, Row, TarIndex, index_tar
from schemas.recipes import WebDatasetSource
from schemas.records import CaptionedImage, Reject, UnitRef

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "jp2", "avif")
MAX_TEXT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class TarSummary:
    """What the listing keeps of one tar. ``duplicates`` are its keys that an earlier tar has already."""

    name: str
    rows: int
    digest: str
    duplicates: frozenset[str]


class WebDataset:
    """A :class:`~engine.sources.Source` over tar files. Listing reads headers only, about 30,000 members a second."""

    def __init__(self, recipe: WebDatasetSource) -> None:
        self._recipe = recipe
        self._files, path = fsspec.core.url_to_fs(recipe.uri)
        self._paths = _find_tars(self._files, path, recipe.uri)
        self._root = posixpath.commonpath([posixpath.dirname(path) for path in self._paths])
        self._tars: dict[str, TarSummary] | None = None
        self._open_index: tuple[str, TarIndex] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open_index": None}

    def units(self, unit_size: int) -> list[UnitRef]:
        refs: list[UnitRef] = []
        for tar in self._listing().values():
            for first in range(0, tar.rows, unit_size):
                refs.append(UnitRef(len(refs), tar.name, first, min(unit_size, tar.rows - first)))
        if not refs:
            raise ValueError(f"source {self._recipe.uri} holds no sample: its {len(self._paths)} tar files are empty")
        return refs

    def fingerprint(self) -> str:
        return digest_of([[tar.name, tar.digest] for tar in self._listing().values()])

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        tar = self._listing()[ref.uri]
        with self._files.open(posixpath.join(self._root, ref.uri), "rb") as file:
            index = self._index(ref.uri, file)
            if index.digest != tar.digest:
                raise RuntimeError(f"{ref.uri} changed while the job ran; leave the source alone and run it again")
            rows = index.rows[ref.first_row : ref.first_row + ref.rows]
            return [self._read_row(file, ref.uri, row, tar.duplicates) for row in rows]

    def _listing(self) -> dict[str, TarSummary]:
        if self._tars is None:
            self._tars = self._list_tars()
        return self._tars

    def _list_tars(self) -> dict[str, TarSummary]:
        tars: dict[str, TarSummary] = {}
        seen: set[bytes] = set()  # 8 bytes a key: 24 million keys stay in memory
        for path in self._paths:
            name = posixpath.relpath(path, self._root)
            with self._files.open(path, "rb") as file:
                index = index_tar(file)
            keys = {hashlib.blake2b(row.key.encode(), digest_size=8).digest(): row.key for row in _samples(index)}
            duplicates = frozenset(keys[short] for short in keys.keys() & seen)
            seen.update(keys)
            tars[name] = TarSummary(name, len(index.rows), index.digest, duplicates)
        return tars

    def _index(self, name: str, file: BinaryIO) -> TarIndex:
        """The units of one tar mostly come to one process one after another, so the last index is kept."""
        if self._open_index is None or self._open_index[0] != name:
            self._open_index = (name, index_tar(file))
        return self._open_index[1]

    def _read_row(self, file: BinaryIO, tar: str, row: Row, duplicates: frozenset[str]) -> CaptionedImage | Reject:
        def reject(reason: str, message: str) -> Reject:
            return Reject(row.key, "read", reason, f"{tar}: {message}")

        if row.reason:
            return reject(row.reason, row.message)
        if row.key in duplicates:
            return reject("key_duplicate", "the key occurs in an earlier tar; label the folders as separate datasets")
        extension = next((name for name in row.members if name in IMAGE_EXTENSIONS), None)
        if extension is None:
            return reject("image_missing", f"the sample has no picture, only {sorted(row.members)}")
        image = row.members[extension]
        if image.size > self._recipe.max_image_bytes:
            return reject("image_too_large", f"{image.size} bytes, more than max_image_bytes")
        caption, problem = _read_caption(file, row)
        if problem:
            return reject(*problem)
        return CaptionedImage(row.key, _read(file, image), extension, caption, f"{tar}#{row.key}")


def _find_tars(files: Any, path: str, uri: str) -> list[str]:
    if files.isdir(path):
        found = [entry for entry in files.ls(path, detail=False) if entry.endswith(".tar")]
    else:
        found = [path] if files.isfile(path) else [entry for entry in files.glob(path) if files.isfile(entry)]
    if not found:
        raise ValueError(f"source {uri} is no tar file, no folder of .tar files and no glob of them: nothing is there")
    return sorted(found)


def _samples(index: TarIndex) -> list[Row]:
    return [row for row in index.rows if not row.reason]


def _read(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset)
    return file.read(member.size)


def _read_caption(file: BinaryIO, row: Row) -> tuple[str, tuple[str, str] | None]:
    """The caption of a row, or the reason and message why there is none. ``.txt`` goes before ``.json``."""
    member = row.members.get("txt") or row.members.get("json")
    if member is None:
        return "", ("caption_missing", "the sample has neither .txt nor .json")
    if member.size > MAX_TEXT_BYTES:
        return "", ("caption_too_long", f"the caption's member has {member.size} bytes")
    try:
        text: object = _read(file, member).decode("utf-8-sig")
        if "txt" not in row.members:
            fields = json.loads(str(text))
            text = fields.get("caption") if isinstance(fields, dict) else None
        if not isinstance(text, str):
            return "", ("caption_missing", "the .json has no text in its field 'caption'")
        caption = text.strip()
        caption.encode()  # JSON can smuggle in half a surrogate pair, which no file of ours could hold
    except (ValueError, RecursionError) as error:
        return "", ("caption_unreadable", f"the caption is no UTF-8 text or no JSON: {type(error).__name__}")
    return caption, None
