"""The scenes world: a procedural source of captioned pictures with exact phrase boxes.

A recipe and an index go in, a :class:`Scene` comes out; it is a function of the two alone, so that the same scene is
the same bytes in every process and run. No download, no licence, no person: the demo, the tests and the shipped nano
model live here, and experiments in which the truth must be known.

    plan.py       which kinds, how many, which colours       (kinds.py: the table of kinds, palette.py: attributes)
    stage.py      where they stand; the picture, the boxes    (brush.py, creatures.py, ..: drawing; backdrop.py)
    captions.py   the caption and its phrases
"""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass

from PIL import Image

from engine.sources.numbered_files import units_of_rows
from engine.sources.scenes.captions import check_names, write_caption
from engine.sources.scenes.kinds import KINDS
from engine.sources.scenes.plan import check_attributes, plan_scene
from engine.sources.scenes.stage import stage_scene
from schemas.recipes import ScenesSource
from schemas.records import BoxXYXY, CaptionedImage, Phrase, Reject, UnitRef

__all__ = ["KINDS", "Scenes", "render_scene", "scene_jpeg", "scene_key"]

# Raise it with every change of what a scene looks like or says: it is part of the source's fingerprint.
WORLD_VERSION = 1
_JPEG_QUALITY = 90
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, its caption and the truth: ``boxes`` are (phrase index, xyxy pixels), at least one for each phrase."""

    image: Image.Image
    caption: str
    phrases: tuple[Phrase, ...]
    boxes: list[tuple[int, BoxXYXY]]


def render_scene(index: int, recipe: ScenesSource) -> Scene:
    """Scene number ``index`` of the world that the recipe's seed names. ``count`` and ``first_index`` play no part.

    ValueError where the recipe names a kind or attribute that does not exist.
    """
    check_attributes(recipe)
    check_names(recipe.names)
    rng = random.Random(f"glip-engine scenes {recipe.seed} {index}")
    for _ in range(_TRIES):  # rarely, none of a plan's named things has a place; then another plan is drawn
        staged = stage_scene(plan_scene(recipe, rng), rng)
        caption, phrases, groups = write_caption(staged, rng, recipe.names)
        if phrases:
            boxes = [(number, box) for number, group in enumerate(groups) for box in staged.boxes_xyxy[group]]
            return Scene(staged.image, caption, phrases, boxes)
    raise ValueError(
        f"scene {index}: in {_TRIES} tries nothing could be drawn that the recipe allows; exclude fewer attributes "
        f"(now {list(recipe.exclude_attributes)}) or combinations (now {list(recipe.exclude_combinations)})"
    )


def scene_key(index: int) -> str:
    """The sample key of a scene."""
    return f"{index:09d}"


def scene_jpeg(image: Image.Image) -> bytes:
    """The picture as the source delivers it. Equal bytes for one version of Pillow's JPEG encoder."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


class Scenes:
    """The source: scenes ``first_index`` to ``first_index + count`` of the recipe's world. None is ever a reject.

    ValueError where the recipe's world cannot be drawn.
    """

    def __init__(self, recipe: ScenesSource) -> None:
        self._recipe = recipe
        render_scene(recipe.first_index, recipe)

    def units(self, unit_size: int) -> list[UnitRef]:
        """Slices of at most ``unit_size`` scenes, in order of their index."""
        return units_of_rows(f"scenes:seed={self._recipe.seed}", self._recipe.count, unit_size)

    def read(self, ref: UnitRef) -> list[CaptionedImage | Reject]:
        """The captioned pictures of a unit, drawn as they are read."""
        return [
            self._captioned(self._recipe.first_index + row, ref)
            for row in range(ref.first_row, ref.first_row + ref.rows)
        ]

    def fingerprint(self) -> str:
        """Digest of the recipe and of the version of the drawing code."""
        return hashlib.sha256(f"{WORLD_VERSION} {self._recipe.model_dump_json()}".encode()).hexdigest()

    def part_digest(self, uri: str) -> str:
        return self.fingerprint()

    def _captioned(self, index: int, ref: UnitRef) -> CaptionedImage:
        scene = render_scene(index, self._recipe)
        return CaptionedImage(scene_key(index), scene_jpeg(scene.image), "jpg", scene.caption, f"{ref.uri}#{index}")
