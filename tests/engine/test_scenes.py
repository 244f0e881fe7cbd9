"""The scenes world is repeatable, its spans and boxes are exact, and a recipe decides what is in it."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from engine.sources.scenes import KINDS, Scenes, render_scene, scene_jpeg
from engine.sources.scenes.brush import Brush
from engine.sources.scenes.palette import COLOURS, TEXTURES
from engine.sources.scenes.plan import plan_scene
from engine.sources.scenes.stage import Canvas
from schemas.recipes import ScenesSource
from schemas.records import CaptionedImage

SCENES = range(120)
_DIGEST_SCENES = """
import hashlib
from engine.sources.scenes import render_scene, scene_jpeg
from schemas.recipes import ScenesSource
digest = hashlib.sha256()
for index in (0, 7, 999999):
    scene = render_scene(index, ScenesSource(seed=5))
    digest.update(scene_jpeg(scene.image) + repr((scene.caption, scene.boxes)).encode())
print(digest.hexdigest())
"""


def test_a_scene_is_the_same_bytes_in_another_process() -> None:
    digests = set()
    for hash_seed in ("1", "2"):
        command, environment = [sys.executable, "-c", _DIGEST_SCENES], {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        digests.add(run.stdout.strip())
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def test_another_seed_is_another_world() -> None:
    captions = [render_scene(index, ScenesSource(seed=seed)).caption for seed in (0, 1) for index in range(20)]
    assert len(set(captions[:20]) & set(captions[20:])) <= 2


def test_a_scene_does_not_depend_on_the_slice_it_is_read_in() -> None:
    whole, part = Scenes(ScenesSource(count=6)), Scenes(ScenesSource(count=2, first_index=4))
    assert [_only(record).image for record in whole.read(whole.units(6)[0])][4:] == [
        _only(record).image for record in part.read(part.units(2)[0])
    ]


def test_units_cover_every_scene_once_in_order() -> None:
    source = Scenes(ScenesSource(count=7, first_index=3))
    units = source.units(3)
    assert [unit.rows for unit in units] == [3, 3, 1]
    records = [_only(record) for unit in units for record in source.read(unit)]
    assert [record.key for record in records] == [f"{index:09d}" for index in range(3, 10)]
    assert Image.open(io.BytesIO(records[0].image)).format == "JPEG"


def test_the_fingerprint_names_the_recipe() -> None:
    one, other = Scenes(ScenesSource(seed=1)), Scenes(ScenesSource(seed=2))
    assert one.fingerprint() == Scenes(ScenesSource(seed=1)).fingerprint() != other.fingerprint()


def test_spans_are_exact_and_every_phrase_has_a_box_inside_the_picture() -> None:
    for index in SCENES:
        scene = render_scene(index, ScenesSource())
        assert scene.phrases
        assert {number for number, _ in scene.boxes} == set(range(len(scene.phrases)))
        for phrase in scene.phrases:
            assert scene.caption[phrase.start : phrase.end] == phrase.text
            assert phrase.head_lemma == phrase.head_lemma.lower()
        for _, (x1, y1, x2, y2) in scene.boxes:
            assert 0 <= x1 < x2 <= scene.image.width
            assert 0 <= y1 < y2 <= scene.image.height


def test_there_are_at_least_forty_kinds_and_only_own_names_are_unique() -> None:
    own = {kind.name for kind in KINDS.values()}
    assert len(KINDS) == len(own) >= 40
    shared = {name for kind in KINDS.values() for name in kind.also if name in own}
    assert shared == {"tree"}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_shows_its_colour_and_its_texture(name: str) -> None:
    pictures = []
    for colour, texture in (("red", "plain"), ("blue", "plain"), ("red", "striped")):
        brush = Brush(60, colour, texture, random.Random(1), turn=0, mirror=False, stretch=1)
        KINDS[name].draw(brush)
        pictures.append(np.asarray(brush.picture().convert("RGB")).astype(int))
        assert 12 <= min(pictures[-1].shape[:2]) <= max(pictures[-1].shape[:2]) <= 75
    assert [picture.shape for picture in pictures] == [pictures[0].shape] * 3
    if KINDS[name].tells_colour:
        assert (np.abs(pictures[0] - pictures[1]).sum(-1) > 60).mean() > 0.04
        assert (np.abs(pictures[0] - pictures[2]).sum(-1) > 60).mean() > 0.01


def test_a_box_is_the_tight_extent_of_the_visible_pixels() -> None:
    canvas = Canvas(Image.new("RGB", (100, 80), "white"))
    assert canvas.place(Image.new("RGBA", (40, 30), (255, 0, 0, 255)), (10, 20), group=0)
    assert canvas.box_xyxy(0) == (10, 20, 50, 50)
    assert canvas.place(Image.new("RGBA", (20, 40), (0, 0, 255, 255)), (40, 15), group=1, may_hide=0.5)
    assert canvas.box_xyxy(0) == (10, 20, 40, 50)
    assert canvas.place(Image.new("RGBA", (30, 30), (0, 255, 0, 255)), (85, 60), group=2)
    assert canvas.box_xyxy(2) == (85, 60, 100, 80)
    red = np.argwhere((np.asarray(canvas.image) == (255, 0, 0)).all(-1))
    assert tuple(red.min(0)) == (20, 10)
    assert tuple(red.max(0) + 1) == (50, 40)


def test_a_thing_that_would_hide_too_much_is_not_placed() -> None:
    canvas = Canvas(Image.new("RGB", (100, 80), "white"))
    layer = Image.new("RGBA", (40, 30), (255, 0, 0, 255))
    assert canvas.place(layer, (10, 20), group=0)
    assert not canvas.place(layer, (20, 20), group=1)
    assert len(canvas.things) == 1
    assert canvas.box_xyxy(0) == (10, 20, 50, 50)


def test_what_a_recipe_excludes_never_occurs() -> None:
    recipe = ScenesSource(
        exclude_kinds=("dog", "car"), exclude_attributes=("purple", "striped"), exclude_combinations=("red tree",)
    )
    for index in range(200):
        for group in plan_scene(recipe, random.Random(index)).groups:
            assert group.look.kind.name not in ("dog", "car")
            assert not {"purple", "striped"} & set(group.look.attributes)
            assert (group.look.colour, group.look.kind.name) != ("red", "tree")


def test_only_the_kinds_of_the_recipe_are_drawn_and_the_rest_keep_their_weights() -> None:
    recipe = ScenesSource(kinds=("dog", "ring"), zipf_exponent=1.0)
    counts = Counter(group.look.kind.name for i in range(300) for group in plan_scene(recipe, random.Random(i)).groups)
    assert set(counts) == {"dog", "ring"}
    assert counts["dog"] > 4 * counts["ring"]


def test_a_larger_exponent_makes_the_tail_rarer() -> None:
    def heads(exponent: float) -> int:
        recipe, common = ScenesSource(zipf_exponent=exponent), list(KINDS)[:5]
        plans = (plan_scene(recipe, random.Random(index)) for index in range(200))
        return sum(group.look.kind.name in common for plan in plans for group in plan.groups)

    assert heads(0.0) < heads(0.8) < heads(1.6)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (ScenesSource(kinds=("unicorn",)), "no kind 'unicorn'"),
        (ScenesSource(exclude_kinds=("unicorn",)), "no kind 'unicorn'"),
        (ScenesSource(exclude_attributes=("mauve",)), "no attribute 'mauve'"),
        (ScenesSource(exclude_combinations=("dog red",)), "not an attribute and a kind"),
        (ScenesSource(kinds=("dog",), exclude_kinds=("dog",)), "no kind of thing"),
        (ScenesSource(exclude_attributes=tuple(COLOURS)), "no colour"),
        (ScenesSource(exclude_attributes=TEXTURES), "nothing could be drawn"),
    ],
)
def test_a_world_that_cannot_be_drawn_is_refused_before_any_work(recipe: ScenesSource, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scenes(recipe)


def test_a_world_of_one_kind_is_drawn() -> None:
    scene = render_scene(0, ScenesSource(kinds=("burger",)))
    assert scene.boxes
    assert len(scene_jpeg(scene.image)) > 500


def _only(record: object) -> CaptionedImage:
    assert isinstance(record, CaptionedImage)
    return record
