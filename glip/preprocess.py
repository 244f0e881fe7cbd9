"""Images as the model wants them: resize, normalise, pad. One file for teacher and student, so they cannot disagree.

In: a PIL image. Out: normalised BGR tensors in a batch of one padded shape.
An image's padded shape is decided by its own size alone, never by its neighbours': padding changes results.

Shapes: B batch, C = 3 (blue, green, red), H W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from glip.config import GLIPConfig
from glip.rgb import as_rgb

# ImageNet statistics in 0..255 and in the order blue, green, red.
_MEAN_BGR = np.array([103.530, 116.280, 123.675], dtype=np.float32)
_STD_BGR = np.array([57.375, 57.120, 58.395], dtype=np.float32)
# [3, 256]: what each of the values that a pixel can have becomes.
_NORMALISED_BGR = (np.arange(256, dtype=np.float32) - _MEAN_BGR[:, None]) / _STD_BGR[:, None]
_PADDING_STEP = 32


def resized_shape(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """(h, w) with the short side at min_size, or less so that the long side stays within max_size.

    Raises: ValueError for an empty image or sizes below 1.
    """
    if min(height, width, min_size, max_size) < 1:
        raise ValueError(f"resized_shape: sides must be positive, got {height}x{width} to {min_size}, {max_size}")
    short, long = sorted((height, width))
    target = min_size
    if long / short * min_size > max_size:
        target = max(round(max_size * short / long), 1)
    if short == target:
        return height, width
    # The long side is cut, not rounded: as the reference does.
    other = int(target * long / short)
    return (target, other) if height <= width else (other, target)


def image_tensor(image: Image.Image, shape: tuple[int, int]) -> Tensor:
    """[3, h, w] float32, normalised BGR, resized to `shape` (h, w) by antialiased bilinear interpolation.

    Any PIL mode is converted to RGB first.
    """
    height, width = shape
    resized = as_rgb(image).resize((width, height), Image.Resampling.BILINEAR)
    rgb_HWC = np.asarray(resized)
    bgr_CHW = np.empty((3, height, width), dtype=np.float32)
    for channel, values in enumerate(_NORMALISED_BGR):
        np.take(values, rgb_HWC[:, :, 2 - channel], out=bgr_CHW[channel], mode="clip")
    return torch.from_numpy(bgr_CHW)


def bucket_shape(height: int, width: int, config: GLIPConfig) -> tuple[int, int]:
    """The padded (h, w) of an image resized to (height, width): each side goes up to the next of config.bucket_sides.

    Sides beyond the largest go up to a multiple of 32. Raises: ValueError for an empty image.
    """
    if min(height, width) < 1:
        raise ValueError(f"bucket_shape: sides must be positive, got {height}x{width}")
    padded_height, padded_width = (
        next((bucket for bucket in config.bucket_sides if bucket >= side), side + -side % _PADDING_STEP)
        for side in (height, width)
    )
    return padded_height, padded_width


def pad_batch(images: list[Tensor], shape: tuple[int, int], *, pinned: bool = False) -> Tensor:
    """[B, 3, h, w]: zeros at the right and the bottom of each [3, H, W] image, after normalisation.

    pinned: in memory that a GPU can copy from while the host goes on (`to(device, non_blocking=True)`); needs CUDA.

    Raises: ValueError for an empty list or an image larger than `shape`.
    """
    if not images:
        raise ValueError("pad_batch: no images")
    first = images[0]
    batch = torch.empty(len(images), 3, *shape, dtype=first.dtype, device=first.device, pin_memory=pinned)
    for slot, image in zip(batch, images, strict=True):
        height, width = image.shape[-2:]
        if height > shape[0] or width > shape[1]:
            raise ValueError(f"pad_batch: an image of {height}x{width} does not fit into {shape[0]}x{shape[1]}")
        slot[:, :height, :width] = image
        slot[:, height:] = 0  # what lies beside the picture alone: a batch is hundreds of megabytes, written once
        slot[:, :height, width:] = 0
    return batch
