"""Pictures as the DETR family wants them: resize by the shorter side, normalise, pad with a mask.

In: a PIL image. Out: [3, h, w] float32 and, for a batch of one bucket, the mask of what is picture. The rules are those
of the checkpoint's folder, the arithmetic that of transformers' Pillow image processor.

Shapes: B batch, C = 3 (red, green, blue), H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from teacher.picture_rules import read_picture_rules

PADDING_STEP = 32  # few shapes, so that pictures share batches; the masked margin is smaller than one patch of level 3
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageRules:
    """How a checkpoint wants its pictures; ``min_size`` and ``max_size`` in pixels, the rest as in its file."""

    min_size: int
    max_size: int
    resample: Image.Resampling
    rescale_factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, folder: Path, min_size: int | None, max_size: int | None) -> ImageRules:
        """The rules in a checkpoint's folder, with the recipe's sizes where it gives any."""
        path, rules = read_picture_rules(folder)
        steps = ("do_resize", "do_rescale", "do_normalize")
        off = [name for name in steps if not getattr(rules, name)]
        size = rules.size or {}
        shortest, longest = size.get("shortest_edge"), size.get("longest_edge")
        if off or shortest is None or longest is None:
            raise ValueError(
                f"{path}: wanted a size of shortest_edge and longest_edge, and resizing; found {size}, without {off}"
            )
        return cls(
            min_size or shortest,
            max_size or longest,
            Image.Resampling.BILINEAR if rules.resample is None else rules.resample,
            rules.rescale_factor,
            rules.image_mean or IMAGENET_MEAN,
            rules.image_std or IMAGENET_STD,
        )

    @property
    def sizes(self) -> list[int]:
        """What the recipe may have changed: part of the grounder's digest."""
        return [self.min_size, self.max_size]

    def resized_shape(self, width: int, height: int) -> tuple[int, int]:
        """(h, w) with the shorter side at ``min_size``, or less so that the longer one stays within ``max_size``."""
        short, long = sorted((width, height))
        exact: float = self.min_size
        if long / short * self.min_size > self.max_size:
            exact = self.max_size * short / long
        target = max(round(exact), 1)
        if short == target:
            return height, width
        other = int(exact * long / short)
        return (target, other) if height <= width else (other, target)

    def padded_shape(self, width: int, height: int) -> tuple[int, int]:
        """(h, w) of the resized picture, each side up to the next multiple of 32: its bucket."""
        resized_height, resized_width = self.resized_shape(width, height)
        return resized_height + -resized_height % PADDING_STEP, resized_width + -resized_width % PADDING_STEP

    def tensor(self, image: Image.Image) -> Tensor:
        """[3, h, w] float32, resized and normalised."""
        height, width = self.resized_shape(image.width, image.height)
        resized = image.convert("RGB").resize((width, height), self.resample)
        rgb_HWC = torch.from_numpy(np.array(resized)).float() * self.rescale_factor
        return ((rgb_HWC - torch.tensor(self.mean)) / torch.tensor(self.std)).permute(2, 0, 1).contiguous()


def pad_with_mask(images: Sequence[Tensor], shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """[B, 3, h, w] with zeros at the right and the bottom, and [B, h, w] long with 1 where there is picture."""
    pixels = torch.zeros(len(images), 3, *shape)
    mask = torch.zeros(len(images), *shape, dtype=torch.long)
    for number, image in enumerate(images):
        height, width = image.shape[-2:]
        pixels[number, :, :height, :width] = image
        mask[number, :height, :width] = 1
    return pixels, mask
