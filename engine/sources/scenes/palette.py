"""Colours and textures of the scenes world: the attributes a caption can name.

A colour name goes in, a jittered RGB triple comes out. A texture name goes in, an ``L`` stencil comes out: 0 where the
main colour stays, 255 where the second colour shows.
"""

from __future__ import annotations

import functools
import random

from PIL import Image, ImageDraw

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (214, 40, 40),
    "blue": (42, 92, 205),
    "green": (48, 152, 64),
    "yellow": (248, 208, 42),
    "white": (247, 247, 244),
    "black": (38, 38, 42),
    "brown": (134, 84, 44),
    "orange": (242, 132, 28),
    "pink": (248, 140, 178),
    "purple": (126, 62, 168),
    "gray": (140, 144, 150),
    "turquoise": (56, 196, 190),
}
TEXTURES = ("plain", "striped", "dotted", "checkered")
SIZES = ("small", "medium", "large")

# What a caption may write for an attribute; the first is the usual word.
WORDS: dict[str, tuple[str, ...]] = {
    "gray": ("gray", "grey"),
    "turquoise": ("turquoise", "teal"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "spotted", "polka-dot"),
    "checkered": ("checkered", "checked"),
    "small": ("small", "little", "tiny"),
    "large": ("large", "big"),
}
_STENCIL_SIDE = 640  # pixels of a supersampled layer: larger than any thing that is drawn


def tint(colour: RGB, factor: float) -> RGB:
    """``colour`` darkened (factor < 1) or mixed with white (1 < factor <= 2)."""
    if factor <= 1:
        return (int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor))
    white = factor - 1
    red, green, blue = (int(channel + (255 - channel) * white) for channel in colour)
    return (red, green, blue)


def shade(name: str, rng: random.Random) -> RGB:
    """The colour ``name`` with a little jitter in each channel, so that no two reds are quite the same."""
    red, green, blue = (max(0, min(255, channel + rng.randint(-12, 12))) for channel in COLOURS[name])
    return (red, green, blue)


def second_colour(name: str) -> RGB:
    """The colour of the stripes, dots or checks on a thing of colour ``name``: the one that shows best on it."""
    if name in ("black", "purple", "brown", "blue"):
        return (250, 228, 120)
    if name in ("white", "yellow", "turquoise", "gray"):
        return (60, 60, 70)
    return (252, 250, 244)


@functools.cache
def stencil(texture: str, period: int) -> Image.Image:
    """A square ``L`` picture of the texture; ``period`` is the repeat in pixels. Cut from it, do not draw on it."""
    side = _STENCIL_SIDE
    picture = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(picture)
    half = period // 2
    if texture == "striped":
        for x in range(0, side, period):
            draw.rectangle((x, 0, x + half - 1, side), fill=255)
    elif texture == "dotted":
        radius = max(2, round(period * 0.27))
        for row, y in enumerate(range(0, side, period)):
            for x in range(half * (row % 2), side, period):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    elif texture == "checkered":
        for row, y in enumerate(range(0, side, half)):
            for x in range(half * (row % 2), side, 2 * half):
                draw.rectangle((x, y, x + half - 1, y + half - 1), fill=255)
    return picture
