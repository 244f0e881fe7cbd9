"""What every reader of human annotations gives, and the reader of drawn scenes, whose annotations are the drawing.

In: the recipe of the scenes. Out: one :class:`GoldRow` at a time: a labelled image, or the reasons why there is none.
The readers of files are in ``engine.gold_coco``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from engine.gold_rules import Picture
from engine.shards import LabelledImage
from engine.sources.scenes import Scenes, render_scene, scene_jpeg, scene_key
from schemas.recipes import ScenesSource
from schemas.records import BoxXYXY, Phrase, Reject
from schemas.shards import SampleBox, SampleLabels, SamplePhrase


@dataclass(frozen=True, slots=True)
class GoldRow:
    """One row of the source: a sample, or the reject of stage ``read`` that says why there is none; and the rejects of
    stage ``annotation``, one for each of the row's ``annotations`` boxes or phrases that was dropped."""

    sample: LabelledImage | None
    rejects: tuple[Reject, ...] = ()
    annotations: int = 0


class GoldReader(Protocol):
    """An ordered, finite source of human annotations; rows are counted from 0."""

    uri: str
    task: Literal["grounding", "detection"]
    classes: Sequence[str]

    def __len__(self) -> int:
        """Number of rows: images of a detection source, captions of a grounding source."""
        ...

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        """Row ``row``, with its picture."""
        ...

    def fingerprint(self) -> str:
        """Digest (hex) of the ordered contents; independent of where they lie and of file times."""
        ...


def labelled_image(
    key: str,
    caption: str,
    phrases: Sequence[Phrase],
    boxes: Iterable[tuple[int, BoxXYXY]],
    picture: Picture,
    *,
    locator: str,
    recipe_digest: str,
) -> LabelledImage:
    """A gold sample: human boxes have score 1 and no teacher."""
    labels = SampleLabels(
        key=key,
        caption=caption,
        phrases=[SamplePhrase(text=p.text, start=p.start, end=p.end, head_lemma=p.head_lemma) for p in phrases],
        boxes=[SampleBox(phrase=phrase, box_xyxy=box, score=1.0) for phrase, box in boxes],
        width=picture.width,
        height=picture.height,
        image_sha256=picture.sha256,
        locator=locator,
        recipe_digest=recipe_digest,
    )
    return LabelledImage(labels, picture.content, picture.extension)


class DrawnScenes:
    """Scenes with their exact boxes; no row is ever a reject."""

    task: Literal["grounding", "detection"] = "grounding"
    classes: Sequence[str] = ()

    def __init__(self, recipe: ScenesSource) -> None:
        self._recipe = recipe
        self._fingerprint = Scenes(recipe).fingerprint()
        self.uri = f"scenes:seed={recipe.seed}"

    def __len__(self) -> int:
        return self._recipe.count

    def read(self, row: int, recipe_digest: str) -> GoldRow:
        index = self._recipe.first_index + row
        scene = render_scene(index, self._recipe)
        content = scene_jpeg(scene.image)
        picture = Picture(content, "jpg", *scene.image.size, hashlib.sha256(content).hexdigest())
        sample = labelled_image(
            scene_key(index),
            scene.caption,
            scene.phrases,
            scene.boxes,
            picture,
            locator=f"{self.uri}#{index}",
            recipe_digest=recipe_digest,
        )
        return GoldRow(sample, (), len(scene.boxes))

    def fingerprint(self) -> str:
        return self._fingerprint
