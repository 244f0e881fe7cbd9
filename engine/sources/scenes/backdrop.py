"""The backgrounds of scenes: walls, skies, meadows, patterns, blotches and scribbles that no caption mentions.

In: a size and a random generator. Out: an RGB picture. All of it is paler or duller than the things, so that they show.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageOps

from engine.sources.scenes.palette import RGB, stencil, tint

_HUES: tuple[RGB, ...] = (
    (236, 226, 206), (214, 230, 240), (222, 236, 216), (240, 220, 220), (228, 222, 240), (238, 238, 232),
    (196, 214, 226), (206, 200, 188), (198, 220, 206), (224, 206, 180), (176, 190, 204), (250, 240, 214),
)  # fmt: skip
_GROUNDS: tuple[RGB, ...] = ((150, 190, 120), (214, 190, 140), (176, 150, 120), (190, 196, 200), (236, 238, 242))
_SKIES: tuple[RGB, ...] = ((176, 212, 238), (206, 224, 240), (244, 206, 178), (190, 190, 216), (226, 232, 236))


def backdrop(width: int, height: int, rng: random.Random) -> Image.Image:
    """A background of ``width`` x ``height`` pixels."""
    kind = rng.choices(_KINDS, weights=(3, 3, 4, 2, 2, 2))[0]
    picture = kind(width, height, rng)
    if rng.random() < 0.12:
        _scribble(picture, rng)
    return picture


def _plain(width: int, height: int, rng: random.Random) -> Image.Image:
    return Image.new("RGB", (width, height), rng.choice(_HUES))


def _gradient(width: int, height: int, rng: random.Random) -> Image.Image:
    ramp = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize((width, height))
    first, second = rng.sample(_HUES, 2)
    return ImageOps.colorize(ramp, first, second)


def _landscape(width: int, height: int, rng: random.Random) -> Image.Image:
    sky = rng.choice(_SKIES)
    picture = ImageOps.colorize(Image.linear_gradient("L").resize((width, height)), sky, tint(sky, 1.6))
    draw = ImageDraw.Draw(picture)
    horizon = int(height * rng.uniform(0.45, 0.7))
    ground = rng.choice(_GROUNDS)
    if rng.random() < 0.5:
        for _ in range(rng.randint(1, 3)):
            x, reach = rng.randint(0, width), rng.randint(width // 4, width // 2)
            draw.ellipse((x - reach, horizon - reach // 3, x + reach, horizon + reach // 3), fill=tint(ground, 1.3))
    draw.rectangle((0, horizon, width, height), fill=ground)
    for _ in range(rng.randint(0, 40)):
        x, y = rng.randint(0, width), rng.randint(horizon, height)
        draw.line((x, y, x + 4, y), fill=tint(ground, 0.88), width=1)
    return picture


def _room(width: int, height: int, rng: random.Random) -> Image.Image:
    picture = _wallpaper(width, height, rng)
    floor = int(height * rng.uniform(0.6, 0.8))
    draw = ImageDraw.Draw(picture)
    colour = rng.choice(_GROUNDS)
    draw.rectangle((0, floor, width, height), fill=colour)
    draw.rectangle((0, floor - 4, width, floor), fill=tint(colour, 1.5))
    for y in range(floor + 10, height, 12):
        draw.line((0, y, width, y), fill=tint(colour, 0.92), width=1)
    return picture


def _wallpaper(width: int, height: int, rng: random.Random) -> Image.Image:
    colour = rng.choice(_HUES)
    picture = Image.new("RGB", (width, height), colour)
    pattern = stencil(rng.choice(("striped", "dotted", "checkered", "plain")), 2 * rng.randint(7, 20))
    picture.paste(tint(colour, rng.choice((0.93, 1.35))), mask=pattern.crop((0, 0, width, height)))
    return picture


def _blotches(width: int, height: int, rng: random.Random) -> Image.Image:
    grain = rng.choice((3, 6, 12, 24))
    cells = (width // grain + 1, height // grain + 1)
    noise = Image.frombytes("L", cells, rng.randbytes(cells[0] * cells[1]))
    first, second = rng.sample(_HUES, 2)
    return ImageOps.colorize(noise.resize((width, height), Image.Resampling.BICUBIC), first, second)


def _scribble(picture: Image.Image, rng: random.Random) -> None:
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for _ in range(rng.randint(1, 6)):
        points = [(rng.randint(0, width), rng.randint(0, height)) for _ in range(rng.randint(2, 4))]
        draw.line(points, fill=tint(rng.choice(_HUES), 0.85), width=rng.randint(1, 3))


_KINDS: tuple[Callable[[int, int, random.Random], Image.Image], ...] = (
    _plain,
    _gradient,
    _landscape,
    _room,
    _wallpaper,
    _blotches,
)
