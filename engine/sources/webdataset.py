"""Captioned images as img2dataset writes them: tar files of ``KEY.jpg`` + ``KEY.txt`` and/or ``KEY.json``.

In: a folder of tars, one tar, a glob or a brace expansion, local or of an object store. Out: units of rows, none
spanning two tars, and the captioned images of a unit with the pictures' bytes untouched. Tars are untrusted: whatever
they hold, a row is a sample or a Reject with a reason, and nothing is ever extracted to a disk (see
:mod:`engine.sources.tar_index`).

Planning needs the number of rows of each tar. If every tar has a ``_stats.json`` beside it, planning relies on that and
opens no tar (:mod:`engine.sources.tar_counts`). Later, a tar with fewer samples gives a Reject for each missing one,
and a tar with more is rejected as a whole. Otherwise the headers of all tars are read: about 30,000 members a second on
a local disk; over a network in small ranges, with one or two requests for each sample.

Layout: https://github.com/rom1504/img2dataset (output format ``webdataset``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np

from engine.artifacts import digest_of
from engine.sources import Problem
from engine.sources.image_files import ENDINGS
from engine.sources.keys import ShortDigests, repeats, short_digest, short_digests
from engine.sources.last_opened import LastOpened, changed
from engine.sources.numbered_files import row_slices
from engine.sources.own_columns import OwnColumns
from engine.sources.places import Files, SourceFile
from engine.sources.tar_counts import stated_counts, tar_stem
from engine.sources.tar_index import Row, TarIndex, first_jsons, index_tar
from engine.sources.tar_texts import member_fields, read_caption, read_fields, read_member
from engine.sources.unit_bytes import UnitBytes
from schemas.recipes import WebDatasetSource
from schemas.records import CaptionedImage, Reject, UnitRef


@dataclass(frozen=True, slots=True)
class TarSummary:
    """What planning keeps of one tar. ``stated``: its headers were not read, and its row count comes from the file
    beside it. ``duplicates``: else, the short digests of those of its keys that an earlier tar has."""

    name: str
    rows: int
    digest: str
    duplicates: frozenset[int] = frozenset()
    stated: bool = False


class WebDataset:
    """A :class:`~engine.sources.Source` of tar files."""

    def __init__(self, recipe: WebDatasetSource) -> None:
        self._recipe = recipe
        self._files = Files(recipe.uri, (".tar",))
        self._tars: dict[str, TarSummary] | None = None
        self._last = LastOpened(self._files, self._files.open_whole)
        self._index: tuple[str, TarIndex] | None = None  # the tar read last
        self._own = OwnColumns(recipe)
        self._check_own_columns()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_index": None}

    def units(self, unit_size: int) -> list[UnitRef]:
        tars = self._listing().values()
        parts = ((tar.name, *part) for tar in tars for part in row_slices(tar.rows, unit_size))
        refs = [UnitRef(index, *part) for index, part in enumerate(parts)]
        if not refs:
            raise ValueError(f"source {self._recipe.uri} holds no sample: its {len(self._files.all)} tars are empty")
        return refs

    def fingerprint(self) -> str:
        """The digest of every member's name, size and first bytes; for tars with a stated count, of size and count."""
        return digest_of([[tar.name, tar.digest] for tar in self._listing().values()])

    def part_digest(self, uri: str) -> str:
        """The digest of one tar, and of its keys that an earlier one has."""
        tar = self._listing()[uri]
        return digest_of([tar.name, tar.digest, tar.stated, sorted(tar.duplicates)])

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        tar = self._listing()[ref.uri]
        file = self._last.open(ref.uri)
        if self._index is None or self._index[0] != ref.uri:
            self._index = (ref.uri, index_tar(file))
        index, room = self._index[1], UnitBytes()
        rows: Sequence[Row | Reject]
        if tar.stated:
            rows = _stated_rows(index, tar, ref)
        elif index.digest != tar.digest:
            raise changed(ref.uri)
        else:
            rows = index.rows[ref.first_row : ref.first_row + ref.rows]
        return [row if isinstance(row, Reject) else self._read_row(file, tar, row, room) for row in rows]

    def _check_own_columns(self) -> None:
        """Raise ValueError where the recipe names fields that none of the first samples has."""
        if not self._own.names:
            return
        first = self._files.all[0]
        with self._files.open(first) as file:
            members = first_jsons(file)
            if members is not None:
                self._own.check(member_fields(file, members), f"the .json of the first samples of {first.path}")

    def _listing(self) -> dict[str, TarSummary]:
        if self._tars is None:
            self._tars = self._stated_tars() or self._scanned_tars()
        return self._tars

    def _stated_tars(self) -> dict[str, TarSummary] | None:
        counts = stated_counts(self._files) if self._recipe.row_counts == "auto" else None
        if counts is None:
            return None
        return {
            file.name: TarSummary(file.name, count.rows, digest_of([file.size, count.digest]), stated=True)
            for file, count in zip(self._files.all, counts, strict=True)
        }

    def _scanned_tars(self) -> dict[str, TarSummary]:
        scanned = list(self._files.each(self._scan, self._files.all))
        keys = np.concatenate([keys for _, keys in scanned])
        repeated = repeats(keys)  # only between tars: inside of one, repeated keys are rejects already
        cuts = np.searchsorted(repeated, np.cumsum([len(keys) for _, keys in scanned]))
        of_tars = np.split(keys[repeated], cuts[:-1])
        return {
            tar.name: replace(tar, duplicates=frozenset(found.tolist()))
            for (tar, _), found in zip(scanned, of_tars, strict=True)
        }

    def _scan(self, source_file: SourceFile) -> tuple[TarSummary, ShortDigests]:
        """The summary of one tar, and the digests of its keys, 8 bytes each, since those of all tars are in memory."""
        with self._files.open(source_file) as file:
            index = index_tar(file)
        keys = short_digests(row.key for row in index.rows if not row.reason)
        return TarSummary(source_file.name, len(index.rows), index.digest), keys

    def _read_row(self, file: BinaryIO, tar: TarSummary, row: Row, room: UnitBytes) -> CaptionedImage | Reject:
        found = _fault(tar, row) or self._sample(file, tar, row, room)
        if isinstance(found, Problem):
            return Reject(row.key, "read", found.reason, f"{tar.name}: {found.message}")
        return found

    def _sample(self, file: BinaryIO, tar: TarSummary, row: Row, room: UnitBytes) -> CaptionedImage | Problem:
        """The sample of a row, or a Problem. The ``.json`` is read only for the recipe's fields or the caption."""
        fields = read_fields(file, row) if self._own.names else {}
        if isinstance(fields, Problem):
            return Problem("columns_unreadable", fields.message)
        if not_taken := self._own.broken_by(fields):
            return not_taken
        extension = next((name for name in row.members if _image_type(name) in ENDINGS), None)
        if extension is None:
            return Problem("image_missing", f"the sample has no picture, only {sorted(row.members)}")
        image = row.members[extension]
        if image.size > self._recipe.max_image_bytes:
            return Problem("image_too_large", f"{image.size} bytes, more than max_image_bytes")
        caption = read_caption(file, row, self._recipe.caption_field)
        if isinstance(caption, Problem):
            return caption
        if full := room.over(image.size):
            return full
        content, locator = read_member(file, image), f"{tar.name}#{row.key}"
        columns = self._own.carried(fields)
        return CaptionedImage(row.key, content, _image_type(extension), caption, locator, columns=columns)


def _stated_rows(index: TarIndex, tar: TarSummary, ref: UnitRef) -> list[Row | Reject]:
    """The rows of a unit of a tar with a stated count; rejects where the tar has fewer or more samples."""
    numbers = range(ref.first_row, ref.first_row + ref.rows)
    whole = [row for row in index.rows if row.reason != "tar_broken"]
    if len(whole) > tar.rows:
        why = f"{tar.name} holds {len(whole)} samples, its _stats.json says {tar.rows}; set source.row_counts=scan"
        return [Reject(f"{tar_stem(tar.name)}#{number}", "read", "tar_miscounted", why) for number in numbers]
    broken = next((row.message for row in index.rows if row.reason == "tar_broken"), "it just ends there")
    why = f"{tar.name} holds {len(whole)} samples, its _stats.json says {tar.rows}: {broken}"
    return [
        whole[number]
        if number < len(whole)
        else Reject(f"{tar_stem(tar.name)}#{number}", "read", "sample_missing", why)
        for number in numbers
    ]


def _fault(tar: TarSummary, row: Row) -> Problem | None:
    """The reason why a row is no sample, judged by its headers and its key; None if there is none."""
    if row.reason:
        return Problem(row.reason, row.message)
    if tar.duplicates and short_digest(row.key) in tar.duplicates:
        why = "the key occurs in an earlier tar; label the folders as separate datasets"
        return Problem("key_duplicate", why)
    if tar.stated and not row.key.startswith(tar_stem(tar.name)):
        why = "it does not begin with the tar's name, so it may repeat; row_counts=scan looks"
        return Problem("key_foreign", why)
    return None


def _image_type(extension: str) -> str:
    """The image type of an extension, which begins at the first dot: "jpg" for "jpg", and for "image.jpg"."""
    return extension.rpartition(".")[2]
