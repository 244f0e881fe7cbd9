"""Images as the model wants them: resize, normalise, pad. One file for teacher and student, so they cannot disagree.

In: PIL images. Out: normalised BGR tensors in a batch of one padded shape, on the device of the model.
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
from glip.transfer import to_device

# ImageNet statistics in 0..255 and in the order blue, green, red.
_MEAN_BGR = torch.tensor([103.530, 116.280, 123.675]).view(3, 1, 1)
_STD_BGR = torch.tensor([57.375, 57.120, 58.395]).view(3, 1, 1)
_CPU = torch.device("cpu")
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
    """[3, h, w] uint8, BGR, resized to `shape` (h, w) by antialiased bilinear interpolation.

    Any PIL mode is converted to RGB first. Bytes, since they are a quarter of what floats are: to wait, and to be
    copied to a device. :func:`pad_batch` normalises them there.
    """
    height, width = shape
    rgb_HWC = np.asarray(as_rgb(image).resize((width, height), Image.Resampling.BILINEAR))
    bgr_CHW = np.empty((3, height, width), dtype=np.uint8)
    for channel in range(3):  # each in one go, which is faster than a transposed copy
        bgr_CHW[channel] = rgb_HWC[:, :, 2 - channel]
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


def pad_batch(images: list[Tensor], shape: tuple[int, int], device: torch.device = _CPU) -> Tensor:
    """[B, 3, h, w] float32 on the device: the uint8 images [3, H, W], normalised, with zeros to the right and below.

    To a GPU they go through pinned memory, and the host does not wait for the copy.

    Raises: ValueError for an empty list or an image larger than `shape`.
    """
    if not images:
        raise ValueError("pad_batch: no images")
    packed_B3HW = torch.empty(len(images), 3, *shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
    for slot, image in zip(packed_B3HW, images, strict=True):
        height, width = image.shape[-2:]
        if height > shape[0] or width > shape[1]:
            raise ValueError(f"pad_batch: an image of {height}x{width} does not fit into {shape[0]}x{shape[1]}")
        slot[:, :height, :width] = image
    batch_B3HW = packed_B3HW.to(device, non_blocking=True).to(torch.float32)
    batch_B3HW.sub_(to_device(_MEAN_BGR, device)).div_(to_device(_STD_BGR, device))
    for slot, image in zip(batch_B3HW, images, strict=True):
        height, width = image.shape[-2:]
        slot[:, height:] = 0
        slot[:, :height, width:] = 0
    return batch_B3HW
