"""The pen that things are drawn with: unit coordinates in, a small RGBA picture out.

A thing is drawn in a unit square, x to the right and y down, (0, 0) at the top left. The brush turns, mirrors and
stretches the points, draws them twice as large as wanted, and shrinks the result, so that edges are smooth.
Areas in the main colour (``MAIN``) carry the thing's texture; all other colours are details.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw

from engine.sources.scenes.palette import RGB, second_colour, shade, stencil, tint

Point = tuple[float, float]
MAIN = "main"
_SUPERSAMPLING = 2
_CURVE_STEPS = 5  # between two points of a curve
_LIGHT = [round(255 - 0.24 * level) for level in range(256)]
# Details that keep their colour whatever the main colour is.
_FIXED: dict[str, RGB] = {
    "ink": (44, 40, 48),
    "snow": (252, 252, 250),
    "wood": (156, 102, 58),
    "skin": (244, 200, 164),
    "glass": (190, 226, 244),
    "leaf": (74, 158, 72),
    "gold": (244, 198, 64),
    "steel": (176, 184, 194),
    "cream": (250, 230, 186),
    "rose": (232, 96, 110),
}


class Brush:
    """Draws one thing about ``side`` pixels large; ``picture()`` gives the finished layer.

    ``rng`` gives the pose; ``turn`` is in degrees, ``stretch`` is width over height.
    """

    def __init__(
        self, side: float, colour: str, texture: str, rng: random.Random, *, turn: float, mirror: bool, stretch: float
    ) -> None:
        self.rng = rng
        main = shade(colour, rng)
        dark = tint(main, 0.5) if sum(main) > 200 else tint(main, 1.35)
        self._colours: dict[str, RGB] = {
            **_FIXED,
            MAIN: main,
            "dark": tint(main, 0.68) if sum(main) > 200 else tint(main, 1.25),
            "light": tint(main, 1.45),
            "outline": tint(main, 0.4) if sum(main) > 200 else dark,
        }
        self._second = second_colour(colour)
        self._texture = texture
        scale = side * _SUPERSAMPLING
        self._pen = max(2, round(scale * 0.022))
        angle = math.radians(turn)
        across, down = scale * math.sqrt(stretch), scale / math.sqrt(stretch)
        flip = -1.0 if mirror else 1.0
        self._xx, self._xy = flip * across * math.cos(angle), -down * math.sin(angle)
        self._yx, self._yy = flip * across * math.sin(angle), down * math.cos(angle)
        self._centre = math.ceil(0.78 * max(across, down))  # the unit square's half diagonal, and room for the pen
        size = (2 * self._centre, 2 * self._centre)
        self._layer = Image.new("RGBA", size, (*self._colours["outline"], 0))
        self._draw = ImageDraw.Draw(self._layer)
        self._body: ImageDraw.ImageDraw | None = None
        if texture != "plain":
            self._body_mask = Image.new("L", size, 0)
            self._body = ImageDraw.Draw(self._body_mask)

    def jitter(self, spread: float) -> float:
        """A random number in [-spread, spread], by which this thing differs from others of its kind."""
        return self.rng.uniform(-spread, spread)

    def polygon(self, points: Sequence[Point], fill: str = MAIN, *, outline: bool = True) -> None:
        """A closed shape through unit points, with a dark edge unless ``outline`` is false."""
        pixels = [self._pixel(x, y) for x, y in points]
        self._draw.polygon(pixels, fill=self._colours[fill])
        if self._body is not None:
            self._body.polygon(pixels, fill=255 if fill == MAIN else 0)
        if outline:
            self._stroke([*pixels, pixels[0], pixels[1]], self._pen, self._colours["outline"])

    def oval(
        self, x: float, y: float, rx: float, ry: float, fill: str = MAIN, *, tilt: float = 0, outline: bool = True
    ) -> None:
        """An ellipse around (x, y), turned by ``tilt`` degrees."""
        self.polygon(arc(x, y, rx, ry, 0, 345, tilt), fill, outline=outline)

    def rectangle(self, x1: float, y1: float, x2: float, y2: float, fill: str = MAIN, *, outline: bool = True) -> None:
        """An upright rectangle between two corners."""
        self.polygon([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], fill, outline=outline)

    def line(self, points: Sequence[Point], width: float, fill: str = "outline") -> None:
        """An open line through unit points; ``width`` as a part of the unit square."""
        pixels = [self._pixel(x, y) for x, y in points]
        pixel_width = max(2, round(width * self._pen / 0.022))
        if fill == MAIN:
            self._stroke(pixels, pixel_width + 2 * self._pen, self._colours["outline"])
            self._cap(pixels, pixel_width / 2 + self._pen, self._colours["outline"])
        self._stroke(pixels, pixel_width, self._colours[fill])
        self._cap(pixels, pixel_width / 2, self._colours[fill])
        if self._body is not None:
            self._body.line(pixels, fill=255 if fill == MAIN else 0, width=pixel_width, joint="curve")

    def dot(self, x: float, y: float, radius: float, fill: str = "ink") -> None:
        """A small round detail without an edge: an eye, a wheel's hub, a button."""
        self.oval(x, y, radius, radius, fill, outline=False)

    def picture(self) -> Image.Image:
        """The finished thing: RGBA, cut to what is visible. The brush is used up."""
        if self._body is not None:
            period = max(8, round(self._pen * (5.5 if self._texture == "checkered" else 5)))
            cut = stencil(self._texture, period + period % 2).crop((0, 0, *self._layer.size))
            cut.paste(0, mask=self._body_mask.point(lambda value: 255 - value))
            self._layer.paste(self._second, mask=cut)
            # Repainting the areas hides no edge, since edges are not part of the body.
        small = self._layer.reduce(_SUPERSAMPLING)
        box = small.getchannel("A").point(lambda value: 255 if value >= 128 else 0).getbbox()
        if box is None:
            raise RuntimeError("a thing was drawn without a visible pixel; every kind must draw inside the unit square")
        return _shaded(small.crop(box))

    def _pixel(self, x: float, y: float) -> Point:
        u, v = x - 0.5, y - 0.5
        return (self._centre + u * self._xx + v * self._xy, self._centre + u * self._yx + v * self._yy)

    def _stroke(self, pixels: Sequence[Point], width: int, colour: RGB) -> None:
        self._draw.line(pixels, fill=colour, width=width, joint="curve")
        if self._body is not None:
            self._body.line(pixels, fill=0, width=width, joint="curve")

    def _cap(self, pixels: Sequence[Point], radius: float, colour: RGB) -> None:
        for x, y in (pixels[0], pixels[-1]):
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _shaded(picture: Image.Image) -> Image.Image:
    """The picture lit from above: its colours darker towards the bottom, its alpha as it was."""
    light = Image.linear_gradient("L").resize(picture.size).point(_LIGHT)
    lit = ImageChops.multiply(picture.convert("RGB"), Image.merge("RGB", (light, light, light)))
    lit.putalpha(picture.getchannel("A"))
    return lit


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float, tilt: float = 0) -> list[Point]:
    """Points on an ellipse from ``start`` to ``end`` degrees, clockwise from the right; every 15 degrees or so."""
    steps = max(2, round(abs(end - start) / 15))
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    points = []
    for step in range(steps + 1):
        angle = math.radians(start + (end - start) * step / steps)
        u, v = rx * math.cos(angle), ry * math.sin(angle)
        points.append((x + u * cos - v * sin, y + u * sin + v * cos))
    return points


def smooth(points: Sequence[Point], *, closed: bool = True) -> list[Point]:
    """A round curve through the points (Catmull-Rom): for leaves, bodies, pears."""
    count = len(points)
    curve: list[Point] = []
    for index in range(count if closed else count - 1):
        before, here, there, after = (
            points[(index + offset) % count] if closed else points[max(0, min(count - 1, index + offset))]
            for offset in (-1, 0, 1, 2)
        )
        for step in range(_CURVE_STEPS):
            t = step / _CURVE_STEPS
            curve.append(
                (
                    _catmull(before[0], here[0], there[0], after[0], t),
                    _catmull(before[1], here[1], there[1], after[1], t),
                )
            )
    return curve if closed else [*curve, points[-1]]


def star(x: float, y: float, outer: float, inner: float, points: int, start: float = -90) -> list[Point]:
    """A star polygon with ``points`` tips."""
    corners = []
    for index in range(2 * points):
        radius = outer if index % 2 == 0 else inner
        angle = math.radians(start + 180 * index / points)
        corners.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
    return corners


def _catmull(before: float, here: float, there: float, after: float, t: float) -> float:
    return 0.5 * (
        2 * here
        + (there - before) * t
        + (2 * before - 5 * here + 4 * there - after) * t * t
        + (3 * here - before - 3 * there + after) * t * t * t
    )
