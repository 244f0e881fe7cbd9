"""Sources of captioned images: the ``Source`` protocol, the table of all sources, and the ``Problem`` of a bad row.

A source lists its units without reading the pictures, and reads one unit at a time, in any process. To add one: write
its recipe, a member of ``schemas.source_recipes.Source``; a class of this protocol in a file of its own; and here a
function that imports it, with a line in ``SOURCES``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from schemas.records import CaptionedImage, Reject, UnitRef


@dataclass(frozen=True, slots=True)
class Problem:
    """The reason why there is no sample: ``reason`` is a fixed word to count by, ``message`` is for a person."""

    reason: str
    message: str


class Source(Protocol):
    """An ordered, finite collection of captioned images, cut into units. Picklable; opened once per worker process."""

    def units(self, unit_size: int) -> list[UnitRef]:
        """Slices of at most ``unit_size`` rows, numbered from 0 in source order; every row is in exactly one. Their
        ``uri`` names a part of the source, such as a file, without the folder: that may move.

        ValueError in one line where there is nothing to read.
        """
        ...

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        """Exactly ``ref.rows`` outcomes, in row order; a bad row is a Reject of the stage ``read``."""
        ...

    def fingerprint(self) -> str:
        """Digest (hex) of the ordered contents; independent of their location and of file times."""
        ...

    def part_digest(self, uri: str) -> str:
        """Digest (hex) of all that decides the rows of the units with this ``uri``: it does not change when other parts
        of the source do. The fingerprint where the source has only one part."""
        ...


def _webdataset(recipe: Any) -> Source:
    from engine.sources.webdataset import WebDataset

    return WebDataset(recipe)


def _parquet(recipe: Any) -> Source:
    from engine.sources.parquet import Parquet

    return Parquet(recipe)


def _urls(recipe: Any) -> Source:
    from engine.sources.urls import Urls

    return Urls(recipe)


def _coco(recipe: Any) -> Source:
    from engine.sources.coco import Coco

    return Coco(recipe)


def _folder(recipe: Any) -> Source:
    from engine.sources.folder import Folder

    return Folder(recipe)


def _scenes(recipe: Any) -> Source:
    from engine.sources.scenes import Scenes

    return Scenes(recipe)


SOURCES: dict[str, Callable[[Any], Source]] = {
    "webdataset": _webdataset,
    "parquet": _parquet,
    "urls": _urls,
    "coco": _coco,
    "folder": _folder,
    "scenes": _scenes,
}


def open_source(recipe: Any) -> Source:
    """The source that ``recipe`` (a member of ``schemas.recipes.Source``) describes; ValueError names what is wrong."""
    if recipe.kind not in SOURCES:
        raise ValueError(f"no source {recipe.kind!r}; there are: {', '.join(SOURCES)}")
    return SOURCES[recipe.kind](recipe)
