"""Reader of drawn scenes, whose annotations follow from the drawing.

In: the recipe of the scenes. Out: a row for each scene: the phrases of its caption with their exact boxes.
"""

from __future__ import annotations

import hashlib

from engine.gold.rules import Picture
from engine.gold.sources import GoldBox, GoldReader, GoldRow, labelled_image
from engine.sources.scenes import Scenes, render_scene, scene_jpeg, scene_key
from schemas.recipes import ScenesSource


class DrawnScenes(GoldReader):
    """Scenes with their exact boxes; no row is ever a reject."""

    def __init__(self, recipe: ScenesSource) -> None:
        self._recipe = recipe
        self.fingerprint = Scenes(recipe).fingerprint()
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
            [GoldBox(phrase, box) for phrase, box in scene.boxes],
            picture,
            locator=f"{self.uri}#{index}",
            recipe_digest=recipe_digest,
        )
        return GoldRow(sample, (), len(scene.boxes))
