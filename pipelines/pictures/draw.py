"""Boxes and their phrases drawn on a picture, for a person to look at.

In: a decoded picture and boxes with a text and a colour number. Out: another picture, of the same size or, if it is
small, enlarged so that the labels are readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from PIL import Image, ImageDraw

from glip.rgb import as_rgb
from pipelines.pictures.label_fonts import font_for

# A colour for each phrase, as in the report's gallery; white text is readable on all of them.
COLOURS = ("#2563eb", "#d6303a", "#177e42", "#b35a05", "#7c4df0", "#0b7a8c", "#bf2c8d", "#6b6f00")
READABLE_SIDE = 1000  # a picture whose long side is shorter is enlarged by a whole number
FONT_SHARE, MIN_FONT, MAX_FONT = 1 / 42, 13, 64  # of the long side; pixels
LINE_SHARE = 0.15  # of the font's height
MAX_LABEL_CHARS = 60

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A box in pixels of the picture, the text of its label, and the number of its colour."""

    box_xyxy: Rectangle
    text: str
    colour: int


def draw_boxes(image: Image.Image, boxes: Sequence[LabelledBox], font_share: float = FONT_SHARE) -> Image.Image:
    """A copy of the picture in RGB with the boxes drawn on it, the first one on top.

    ``font_share``: height of the labels as a share of the long side; larger for a picture that is shown small. A label
    stands above its box, or, if possible, where it neither leaves the picture nor covers another label.
    """
    scale = max(1, READABLE_SIDE // max(image.size))
    size = (image.width * scale, image.height * scale)
    canvas = as_rgb(image)
    if scale > 1:
        canvas = canvas.resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(canvas)
    height = min(MAX_FONT, max(MIN_FONT, round(max(size) * font_share)))
    scaled = [_scaled(box.box_xyxy, scale) for box in boxes]
    width = max(2, round(height * LINE_SHARE))
    for box, corners in reversed(list(zip(boxes, scaled, strict=True))):
        pen.rectangle(corners, outline=COLOURS[box.colour % len(COLOURS)], width=width)
    taken: list[Rectangle] = []
    for box, corners in zip(boxes, scaled, strict=True):
        taken.append(_write_label(pen, height, box, corners, size, taken))
    return canvas


def _scaled(box: Rectangle, scale: int) -> Rectangle:
    x1, y1, x2, y2 = box
    return (x1 * scale, y1 * scale, x2 * scale, y2 * scale)


def _write_label(
    pen: ImageDraw.ImageDraw,
    height: int,
    box: LabelledBox,
    corners: Rectangle,
    size: tuple[int, int],
    taken: Sequence[Rectangle],
) -> Rectangle:
    """Draw the label of one box and return its rectangle."""
    text = " ".join(box.text.split())
    text = text if len(text) <= MAX_LABEL_CHARS else text[: MAX_LABEL_CHARS - 1] + "…"
    text, font = font_for(text, height)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    margin = max(2, round((bottom - top) / 4))
    place = _free_place(corners, (right - left + 2 * margin, bottom - top + 2 * margin), size, taken)
    pen.rectangle(place, fill=COLOURS[box.colour % len(COLOURS)])
    pen.text((place[0] + margin - left, place[1] + margin - top), text, font=font, fill="white")
    return place


def _free_place(
    corners: Rectangle, label: tuple[float, float], size: tuple[int, int], taken: Sequence[Rectangle]
) -> Rectangle:
    """The first place at the box, moved into the picture, that covers no other label; above the box if all do."""
    x1, y1, x2, y2 = corners
    width, height = label
    beside = (y1 - height, y1, y2 - height, y2, (y1 + y2 - height) / 2)
    rows = (*beside, *(y2 + height * step for step in range(1, 9)))  # below: a column for boxes around one thing
    places = [_inside(x, y, label, size) for y, x in product(rows, (x1, x2 - width))]
    return next((place for place in places if not any(_meet(place, other) for other in taken)), places[0])


def _inside(x: float, y: float, label: tuple[float, float], size: tuple[int, int]) -> Rectangle:
    x, y = max(0.0, min(x, size[0] - label[0])), max(0.0, min(y, size[1] - label[1]))
    return (x, y, x + label[0], y + label[1])


def _meet(first: Rectangle, second: Rectangle) -> bool:
    across = min(first[2], second[2]) > max(first[0], second[0])
    return across and min(first[3], second[3]) > max(first[1], second[1])
