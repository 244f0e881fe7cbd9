"""Draws the planned groups of a scene on a canvas, and records which pixel shows which thing.

In: a plan. Out: a :class:`StagedScene`: the picture and, for each thing, the tight box of its visible pixels. A thing
without a free place is left out, so that no thing is ever hidden by more than a limited part.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.sources.scenes.backdrop import backdrop
from engine.sources.scenes.brush import Brush
from engine.sources.scenes.plan import Group, Look, Plan, Relation
from schemas.records import BoxXYXY

_TRIES = 14
_SIDES = tuple(range(192, 321, 16))
_SIZE_FACTOR = {"small": 0.62, "medium": 1.0, "large": 1.5}
_FREE = 0.12  # the largest part of a thing that things in front of it may hide
_PARTLY_HIDDEN = 0.45  # the same, where the caption says "behind" or "on"
_OPAQUE = 128

Mask = npt.NDArray[np.bool_]
Corner = tuple[int, int]


@dataclass(frozen=True, slots=True)
class StagedScene:
    """A drawn scene. ``boxes_xyxy[g]`` are the visible extents of the things of group ``g``, empty for a group without
    a thing. ``relation`` and ``side`` (of the twin: "left" or "right") are None unless the picture shows them."""

    image: Image.Image
    groups: tuple[Group, ...]
    boxes_xyxy: tuple[tuple[BoxXYXY, ...], ...]
    relation: Relation | None
    side: str | None


@dataclass(slots=True)
class Placed:
    group: int
    left: int
    top: int
    mask: Mask
    hidden: int = 0


class Canvas:
    """A picture being drawn, with a map of the same size: the number of the thing (1, 2, ...) that each pixel shows."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self._shown = np.zeros((image.height, image.width), np.uint8)
        self.things: list[Placed] = []

    def place(self, layer: Image.Image, corner: Corner, group: int, *, may_hide: float = _FREE) -> bool:
        """Paste the layer unless it would hide more than ``may_hide`` of a thing; says whether it was pasted."""
        left, top = corner
        mask = np.asarray(layer.getchannel("A")) >= _OPAQUE
        x, y = max(0, -left), max(0, -top)
        mask = mask[y : self.image.height - top, x : self.image.width - left]
        window = self._shown[top + y : top + y + mask.shape[0], left + x : left + x + mask.shape[1]]
        covered = np.bincount(window[mask], minlength=len(self.things) + 1)
        for thing, pixels in zip(self.things, covered[1:].tolist(), strict=True):
            if pixels and thing.hidden + pixels > may_hide * thing.mask.sum():
                return False
        for thing, pixels in zip(self.things, covered[1:].tolist(), strict=True):
            thing.hidden += pixels
        self.things.append(Placed(group, left + x, top + y, mask))
        window[mask] = len(self.things)
        self.image.paste(layer, corner, layer)
        return True

    def box_xyxy(self, number: int) -> BoxXYXY:
        """The tight box of the pixels that show thing ``number`` (from 0)."""
        thing = self.things[number]
        height, width = thing.mask.shape
        window = self._shown[thing.top : thing.top + height, thing.left : thing.left + width] == number + 1
        rows, columns = np.flatnonzero(window.any(1)), np.flatnonzero(window.any(0))
        return (
            float(thing.left + columns[0]),
            float(thing.top + rows[0]),
            float(thing.left + columns[-1] + 1),
            float(thing.top + rows[-1] + 1),
        )


def stage_scene(plan: Plan, rng: random.Random) -> StagedScene:
    """Draw the plan. The canvas has sides of 192 to 320 pixels; a thing is mostly 20 to 120 pixels large."""
    width, height = _canvas_size(rng)
    canvas = Canvas(backdrop(width, height, rng))
    count = sum(group.count for group in plan.groups)
    usual = math.sqrt(width * height) * (0.3 if count <= 2 else 0.25 if count <= 4 else 0.215)
    pending = [number for number, group in enumerate(plan.groups) for _ in range(group.count)]
    relation = None
    if plan.relation is not None:
        relation = _stage_pair(canvas, plan, plan.relation, usual, rng)
        for thing in canvas.things:
            pending.remove(thing.group)
    for number in pending:
        _stage_freely(canvas, plan.groups[number].look, number, usual, rng)
    return _staged(canvas, plan, relation)


def _staged(canvas: Canvas, plan: Plan, relation: Relation | None) -> StagedScene:
    boxes: list[list[BoxXYXY]] = [[] for _ in plan.groups]
    for number, thing in enumerate(canvas.things):
        boxes[thing.group].append(canvas.box_xyxy(number))
    groups = [replace(group, count=len(found)) for group, found in zip(plan.groups, boxes, strict=True)]
    side = None
    if plan.twin is not None and boxes[plan.twin[0]] and boxes[plan.twin[1]]:
        (x1, _, x2, _), (u1, _, u2, _) = boxes[plan.twin[0]][0], boxes[plan.twin[1]][0]
        side = "left" if x1 + x2 < u1 + u2 else "right"
    return StagedScene(canvas.image, tuple(groups), tuple(map(tuple, boxes)), relation, side)


def _canvas_size(rng: random.Random) -> tuple[int, int]:
    while True:
        width, height = rng.choice(_SIDES), rng.choice(_SIDES)
        if 0.66 <= width / height <= 1.52:
            return width, height


def _layer(look: Look, usual: float, rng: random.Random) -> Image.Image:
    brush = Brush(
        usual * look.kind.size * _SIZE_FACTOR[look.size] * rng.uniform(0.88, 1.12),
        look.colour,
        look.texture,
        rng,
        turn=rng.uniform(-look.kind.turn, look.kind.turn),
        mirror=rng.random() < 0.5,
        stretch=rng.uniform(0.86, 1.16),
    )
    look.kind.draw(brush)
    return brush.picture()


def _stage_freely(canvas: Canvas, look: Look, group: int, usual: float, rng: random.Random) -> None:
    layer = _layer(look, usual, rng)
    for _ in range(_TRIES):
        if canvas.place(layer, _home(canvas, look, layer, rng), group):
            return


def _home(canvas: Canvas, look: Look, layer: Image.Image, rng: random.Random) -> Corner:
    """Usually a place where such a thing is at home; sometimes cut off a little by the picture's edge."""
    cut = rng.uniform(0.1, 0.3) if rng.random() < 0.12 else 0.0
    low, high = 0.0, 1.0
    if rng.random() < 0.75:
        low, high = {"sky": (0.0, 0.6), "ground": (0.3, 1.0), "any": (0.0, 1.0)}[look.kind.zone]
    width, height = canvas.image.size
    return (
        _between(0, width, layer.width, cut, rng),
        _between(round(low * height), round(high * height), layer.height, cut, rng),
    )


def _between(low: int, high: int, extent: int, cut: float, rng: random.Random) -> int:
    """A start for an extent such that all of it, except a part ``cut``, is between two pixels."""
    first, last = low - round(cut * extent), high - extent + round(cut * extent)
    return rng.randint(min(first, last), last) if last >= 0 else 0


def _stage_pair(canvas: Canvas, plan: Plan, relation: Relation, usual: float, rng: random.Random) -> Relation | None:
    """Place the two things of a relation; None (and perhaps only one of them placed) where they do not fit so."""
    subject, other = relation.subject, relation.object
    first, second = (subject, other) if relation.word == "behind" else (other, subject)
    word = "in front of" if relation.word == "behind" else relation.word
    look = plan.groups[first].look
    ground = _layer(look, usual, rng)
    if not canvas.place(ground, _home(canvas, look, ground, rng), first):
        return None
    size = usual * (0.7 if word == "on" else 1.0)
    layer = _layer(plan.groups[second].look, size, rng)
    for _ in range(_TRIES):
        corner = _beside(canvas.things[0], word, look.kind.carries or 0.0, layer, rng)
        inside = (
            0 <= corner[0] <= canvas.image.width - layer.width and 0 <= corner[1] <= canvas.image.height - layer.height
        )
        overlaps = word in ("on", "in front of")
        if inside and canvas.place(layer, corner, second, may_hide=_PARTLY_HIDDEN if overlaps else _FREE):
            hides = canvas.things[0].hidden > 0.06 * canvas.things[0].mask.sum()
            return relation if word != "in front of" or hides else None
    return None


def _beside(thing: Placed, word: str, surface: float, layer: Image.Image, rng: random.Random) -> Corner:
    """The corner that puts the layer in the relation ``word`` to the thing."""
    height, width = thing.mask.shape
    middle_x = thing.left + (width - layer.width) / 2
    floor = thing.top + height - layer.height
    near, far = rng.uniform(0.02, 0.12) * width, rng.uniform(0.08, 0.5) * width
    right = thing.left + width
    if word == "on":
        slack = max(0.0, (width - layer.width) / 2)
        x, y = middle_x + rng.uniform(-slack, slack), thing.top + surface * height - layer.height * 0.96
    elif word == "in front of":
        shift = rng.choice((-1, 1)) * rng.uniform(0.3, 0.6)
        x, y = middle_x + shift * width, floor + rng.uniform(0.05, 0.25) * height
    elif word == "next to":
        x, y = (right + near if rng.random() < 0.5 else thing.left - layer.width - near), floor
    elif word in ("left of", "right of"):
        x = right + far if word == "right of" else thing.left - layer.width - far
        y = floor + rng.uniform(-0.3, 0.3) * height
    else:
        gap = rng.uniform(0.05, 0.4) * height
        x = middle_x + rng.uniform(-0.3, 0.3) * width
        y = thing.top - layer.height - gap if word == "above" else thing.top + height + gap
    return (round(x), round(y))
