"""The interface of all readers of human annotations: from a :class:`GoldPlace` to :class:`GoldRow`.

In: what a reader found about one picture. Out: a labelled image, or the reasons why there is none. Each format has its
reader in a file beside this one; the table of all is in ``engine.gold``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeAlias

from engine.filtering.image_hash import phash_text
from engine.gold.files import checked_file, own_files
from engine.gold.rules import Picture
from engine.shards import LabelledImage
from schemas.records import BoxXYXY, Phrase, Reject
from schemas.shards import SampleBox, SampleCrowd, SampleLabels, SamplePhrase

Task: TypeAlias = Literal["grounding", "detection"]


class GoldBox(NamedTuple):
    """A box of phrase number ``phrase``, in pixels of the picture it was drawn on. Human boxes have score 1;
    ``difficult`` and ``area`` as in :class:`schemas.shards.SampleBox`."""

    phrase: int
    box_xyxy: BoxXYXY
    score: float = 1.0
    difficult: bool = False
    area: float | None = None


@dataclass(frozen=True, slots=True)
class GoldRow:
    """One row of the source: a sample, or a reject of stage ``read`` with the reason why there is none; and a reject of
    stage ``annotation`` for each dropped box or phrase of its ``annotations``."""

    sample: LabelledImage | None
    rejects: tuple[Reject, ...] = ()
    annotations: int = 0


@dataclass(frozen=True, slots=True)
class GoldPlace:
    """The place of human annotations: their folder or file; the folder of the images, if not beside them; and the split
    to read, if the format has splits and not all are wanted."""

    annotations: Path
    images: Path | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        if self.split is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", self.split):
            raise ValueError(f"a split is a name such as train or testA, not {self.split!r}")
        if self.images is not None and not self.images.is_dir():
            raise ValueError(f"{self.images} is not a folder; give the folder that holds the images")

    @property
    def folder(self) -> Path:
        """The folder of the annotations."""
        return self.annotations if self.annotations.is_dir() else self.annotations.parent

    def image_folder(self, *names: str) -> Path:
        """The folder of the images: the given one, else the first of ``names`` beside the annotations that exists, else
        the folder of the annotations."""
        if self.images is not None:
            return self.images
        beside = (self.folder / name for name in names)
        return next((folder for folder in beside if folder.is_dir()), self.folder)

    def file(self, *patterns: str) -> Path:
        """The file of the annotations: the given one, or the one file that matches the first of ``patterns`` with a
        match. ValueError where there is not exactly one, or it is a link that leads out of its folder."""
        if self.annotations.is_file():
            return self.annotations
        matches = [own_files(self.annotations, pattern) for pattern in patterns]
        found = next((files for files in matches if files), [])
        if len(found) != 1:
            wanted = " or ".join(patterns)
            raise ValueError(
                f"{self.annotations} holds {len(found)} files {wanted}, wanted one; give the path of the file itself"
            )
        return checked_file(found[0])

    def without_split(self, format: str) -> GoldPlace:
        """The place itself; ValueError where a split is given, since ``format`` has none."""
        if self.split is not None:
            raise ValueError(f"the format {format} has a file for each split; give that file, and no split")
        return self


class GoldReader(Protocol):
    """An ordered, finite source of human annotations; row numbers start from 0."""

    uri: str
    task: Task = "grounding"
    classes: Sequence[str] = ()
    fingerprint: str
    """Digest (hex) of the ordered contents; independent of their location and of file times."""

    def __len__(self) -> int:
        """Number of rows: images of a detection source, captions of a grounding source."""
        ...

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        """Row number ``row``, with its picture."""
        ...

    def homeless(self) -> tuple[Reject, ...]:
        """A reject for each annotation that belongs to no row."""
        return ()


def labelled_image(
    key: str,
    caption: str,
    phrases: Sequence[Phrase],
    boxes: Iterable[GoldBox],
    picture: Picture,
    *,
    locator: str,
    recipe_digest: str,
    absent: Sequence[str] | None = None,
    incomplete: Sequence[str] | None = None,
    crowds: Sequence[tuple[str, BoxXYXY]] = (),
) -> LabelledImage:
    """A gold sample, without a teacher. ``absent`` and ``incomplete`` are classes of a federated dataset, ``crowds``
    classes and regions (:class:`schemas.shards.SampleLabels`)."""
    width, height = picture.stored_size
    labels = SampleLabels(
        key=key,
        caption=caption,
        phrases=[SamplePhrase(text=p.text, start=p.start, end=p.end, head_lemma=p.head_lemma) for p in phrases],
        boxes=[
            SampleBox(
                phrase=box.phrase,
                box_xyxy=picture.as_stored(box.box_xyxy),
                score=box.score,
                difficult=box.difficult or None,
                area=box.area,
            )
            for box in boxes
        ],
        width=width,
        height=height,
        image_sha256=picture.sha256,
        image_phash=phash_text(picture.content),
        absent_classes=None if absent is None else list(absent),
        incomplete_classes=None if incomplete is None else list(incomplete),
        crowds=[SampleCrowd(name=name, box_xyxy=picture.as_stored(box)) for name, box in crowds] or None,
        locator=locator,
        recipe_digest=recipe_digest,
    )
    return LabelledImage(labels, picture.content, picture.extension)
