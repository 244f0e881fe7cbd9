"""Any picture as one of three channels of eight bits, and upright; without torch, which pages of pictures do without.

In: a PIL image of any mode. Out: one in RGB; one that is turned as its EXIF orientation says.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def as_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB, eight bits a channel; of an animation, the frame it stands at.

    Grey pictures of 16 bits are scaled: Pillow would cut them off at 255, which makes most of them white. Those of 32
    bits and of floats have no fixed range and are stretched from their darkest to their brightest pixel. A palette with
    transparency goes through RGBA, as Pillow wants it.
    """
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")
    if not image.mode.startswith(("I", "F")):
        return image.convert("RGB")
    if image.mode.startswith("I;16"):
        grey = np.asarray(image.convert("I")) / 257.0
    else:
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        lowest, highest = values.min(), values.max()
        grey = (values - lowest) * (255.0 / (highest - lowest) if highest > lowest else 0.0)
    return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The decoded picture as its EXIF orientation (1 to 8) wants it seen: a model that has learnt from upright photos
    finds less in one that lies on its side."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
