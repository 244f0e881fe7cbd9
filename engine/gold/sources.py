"""What every reader of human annotations takes and gives: a place, and rows of it with a labelled image or the reasons
why there is none.

In: what a reader found out about one picture. Out: a :class:`GoldRow`. The readers are beside this file, one a format;
the table of all is in ``engine.gold``.
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
from schemas.shards import SampleBox, SampleLabels, SamplePhrase

Task: TypeAlias = Literal["grounding", "detection"]


class GoldBox(NamedTuple):
    """A box of phrase number ``phrase`` as it was drawn. Human boxes have score 1; ``difficult`` as in
    :class:`schemas.shards.SampleBox`."""

    phrase: int
    box_xyxy: BoxXYXY
    score: float = 1.0
    difficult: bool = False


@dataclass(frozen=True, slots=True)
class GoldRow:
    """One row of the source: a sample, or the reject of stage ``read`` that says why there is none; and the rejects of
    stage ``annotation``, one for each of the row's ``annotations`` boxes or phrases that was dropped."""

    sample: LabelledImage | None
    rejects: tuple[Reject, ...] = ()
    annotations: int = 0


@dataclass(frozen=True, slots=True)
class GoldPlace:
    """Where human annotations lie: their folder or file; the images, where not beside them; the split, where the
    format knows splits and one is wanted."""

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
        """The folder of the images: as given, else the first of ``names`` beside the annotations, else theirs."""
        if self.images is not None:
            return self.images
        beside = (self.folder / name for name in names)
        return next((folder for folder in beside if folder.is_dir()), self.folder)

    def file(self, *patterns: str) -> Path:
        """The file of the annotations: as given, or the one of the folder that matches the first of ``patterns`` that
        any matches; ValueError where it is not one, or a link out of its folder."""
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
        """Itself; ValueError where a split is named, for formats that know none."""
        if self.split is not None:
            raise ValueError(f"the format {format} has a file for each split; give that file, and no split")
        return self


class GoldReader(Protocol):
    """An ordered, finite source of human annotations; rows are counted from 0."""

    uri: str
    task: Task = "grounding"
    classes: Sequence[str] = ()
    fingerprint: str
    """Digest (hex) of the ordered contents; independent of where they lie and of file times."""

    def __len__(self) -> int:
        """Number of rows: images of a detection source, captions of a grounding source."""
        ...

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        """Row ``row``, with its picture."""
        ...


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
) -> LabelledImage:
    """A gold sample, of no teacher of ours. ``absent`` and ``incomplete`` are classes of a federated dataset
    (:class:`schemas.shards.SampleLabels`)."""
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
            )
            for box in boxes
        ],
        width=width,
        height=height,
        image_sha256=picture.sha256,
        image_phash=phash_text(picture.content),
        absent_classes=None if absent is None else list(absent),
        incomplete_classes=None if incomplete is None else list(incomplete),
        locator=locator,
        recipe_digest=recipe_digest,
    )
    return LabelledImage(labels, picture.content, picture.extension)
