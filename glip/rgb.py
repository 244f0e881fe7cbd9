"""Any picture as one of three channels of eight bits, without torch: pages and drawings of pictures need it, too.

In: a PIL image of any mode. Out: one in RGB.
"""

from __future__ import annotations

import numpy as np
from PIL import Image


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
