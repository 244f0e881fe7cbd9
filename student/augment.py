"""Random augmentation of pictures and their boxes: size, crop, mirror, colours.

In: a picture, its boxes (``xyxy`` pixels of the original) and a random generator. Out: a smaller picture and the boxes
that are still in it, in its pixels. Sizes as the GLIP recipe draws them (several short sides); with ``scale_jitter``
the large-scale jitter of Ghiasi et al. 2021 (arXiv 2012.07177, section 3): resize by a random factor, then crop to
a canvas that all pictures of the step share, so that no time is spent on padding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from glip.preprocess import resized_shape

CANVAS_ASPECTS = (4 / 3, 4 / 3, 3 / 4)  # width / height; most photographs are landscape
CANVAS_STEP = 32  # pixels; the coarsest stride of the image tower, so that nothing is padded on top
MIN_VISIBLE_SHARE = 0.3  # of a box's area; if less is visible, a person could not tell what it is
MIN_BOX_SIDE = 2.0  # pixels after resizing
# Also "left-hand", "right_side", "lefthand", "leftwards", "left-most"; not "leftover", "bright" or "upright".
_SIDE_WORDS = re.compile(
    r"(?<![^\W_])(left|right)(most|hand(ed)?|side|wards?|er|y|ies)?(?![^\W_])|clockwise", re.IGNORECASE
)

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The ranges that a view is drawn from; the fields are those of ``TrainRecipe``."""

    min_sizes: tuple[int, ...]
    max_size: int
    flip: bool = True
    scale_jitter: tuple[float, float] | None = None
    color_jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class StepShape:
    """What all pictures of one step share: the short side, and the canvas ``(h, w)`` they are cropped to, if any."""

    min_size: int
    canvas_hw: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class CropView:
    """The part ``source_xyxy`` of the original, resized to ``size_hw`` and mirrored or not."""

    source_xyxy: tuple[float, float, float, float]
    size_hw: tuple[int, int]
    flip: bool


def draw_step_shape(augmentation: Augmentation, random: np.random.Generator) -> StepShape:
    """Draw the size of a step; once a step, so that all workers agree."""
    min_size = int(random.choice(augmentation.min_sizes))
    if augmentation.scale_jitter is None:
        return StepShape(min_size, None)
    aspect = CANVAS_ASPECTS[random.integers(len(CANVAS_ASPECTS))]
    long_side = min(augmentation.max_size, CANVAS_STEP * round(min_size * max(aspect, 1 / aspect) / CANVAS_STEP))
    return StepShape(min_size, (min_size, long_side) if aspect > 1 else (long_side, min_size))


def draw_view(
    size_hw: tuple[int, int], caption: str, augmentation: Augmentation, shape: StepShape, random: np.random.Generator
) -> CropView:
    """Draw the view of a picture of ``size_hw`` pixels, which is never mirrored if its caption says left or right."""
    flip = augmentation.flip and random.random() < 0.5 and not _SIDE_WORDS.search(caption)
    height, width = size_hw
    full_hw = resized_shape(height, width, shape.min_size, augmentation.max_size)
    if augmentation.scale_jitter is None or shape.canvas_hw is None:
        return CropView((0.0, 0.0, float(width), float(height)), full_hw, flip)
    low, high = augmentation.scale_jitter
    factor = float(np.exp(random.uniform(np.log(low), np.log(high))))
    y1, y2, seen_height = _crop(height, full_hw[0] * factor, shape.canvas_hw[0], random)
    x1, x2, seen_width = _crop(width, full_hw[1] * factor, shape.canvas_hw[1], random)
    return CropView((x1, y1, x2, y2), (seen_height, seen_width), flip)


def _crop(side: int, resized: float, canvas: int, random: np.random.Generator) -> tuple[float, float, int]:
    """Along one side: start and end of the visible part in the original, and its length in pixels of the view."""
    if resized <= canvas:
        return 0.0, float(side), max(1, round(resized))
    seen = side * canvas / resized
    start = float(random.uniform(0, side - seen))
    return start, start + seen, canvas


def render(image: Image.Image, view: CropView) -> Image.Image:
    """The picture as the view shows it."""
    height, width = view.size_hw
    seen = image.resize((width, height), Image.Resampling.BILINEAR, box=view.source_xyxy)
    return seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.flip else seen


def view_boxes(boxes_xyxy: FloatArray, view: CropView) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Boxes ``[N, 4]`` in the view's pixels, clipped to it, and the indices ``[K]`` of those that are still seen.

    A box of which less than ``MIN_VISIBLE_SHARE`` remains is dropped, as is one thinner than ``MIN_BOX_SIDE``.
    """
    x1, y1, x2, y2 = view.source_xyxy
    height, width = view.size_hw
    scale = np.array([width / (x2 - x1), height / (y2 - y1)] * 2, dtype=np.float32)
    moved = (boxes_xyxy - np.array([x1, y1, x1, y1], dtype=np.float32)) * scale
    clipped = np.clip(moved, 0, np.array([width, height] * 2, dtype=np.float32)).astype(np.float32)
    if view.flip:
        clipped = np.stack([width - clipped[:, 2], clipped[:, 1], width - clipped[:, 0], clipped[:, 3]], axis=1)
    sides, whole_sides = clipped[:, 2:] - clipped[:, :2], moved[:, 2:] - moved[:, :2]
    visible = sides.prod(axis=1) >= MIN_VISIBLE_SHARE * whole_sides.prod(axis=1)
    kept = np.flatnonzero(visible & (sides.min(axis=1, initial=np.inf) >= MIN_BOX_SIDE))
    return clipped[kept], kept


def without_last_pixel(boxes_xyxy: FloatArray, view: CropView) -> FloatArray:
    """Boxes ``[N, 4]`` of the view that end one pixel of the original picture earlier, as the published models were
    trained (``GLIPConfig.last_pixel_left_out``); a side of ``MIN_BOX_SIDE`` remains."""
    x1, y1, x2, y2 = view.source_xyxy
    height, width = view.size_hw
    pixel = np.array([width / (x2 - x1), height / (y2 - y1)], dtype=np.float32)
    starts = boxes_xyxy[:, :2]
    return np.concatenate([starts, np.maximum(boxes_xyxy[:, 2:] - pixel, starts + MIN_BOX_SIDE)], axis=1)


def jitter_colors(image: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Random brightness, contrast and saturation, each by a factor in ``[1 - strength, 1 + strength]``."""
    if strength == 0:
        return image
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhancer(image).enhance(float(random.uniform(1 - strength, 1 + strength)))
    return image
