"""Pictures as OWLv2 wants them: padded to a square, blurred, resized to the model's one size, normalised.

In: a PIL image. Out: [3, S, S] float32. The arithmetic is that of transformers' Pillow image processor for OWLv2 (the
anti-aliased resize of scikit-image: a Gaussian, then linear interpolation, both mirrored at the border), done here
without scipy and along one axis at a time.

Shapes: C = 3 (red, green, blue), H W pixels, S side of the model's input.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from teacher.picture_rules import read_picture_rules

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
GAUSSIAN_REACH = 4.0  # standard deviations, scipy's default


@dataclass(frozen=True)
class SquareRules:
    """How a checkpoint wants its pictures: side in pixels, the rest as in its file."""

    side: int
    rescale_factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, folder: Path) -> SquareRules:
        """The rules in a checkpoint's folder; ValueError where it wants something else than a padded square."""
        path, rules = read_picture_rules(folder)
        steps = ("do_pad", "do_resize", "do_rescale", "do_normalize")
        off = [name for name in steps if not getattr(rules, name)]
        size = rules.size or {"height": 960, "width": 960}
        side = size.get("height")
        if off or side is None or side != size.get("width"):
            raise ValueError(f"{path}: wanted pictures padded and resized to a square; found {size}, without {off}")
        return cls(side, rules.rescale_factor, rules.image_mean or CLIP_MEAN, rules.image_std or CLIP_STD)

    def tensor(self, image: Image.Image) -> Tensor:
        """[3, S, S] float32: black below or right of the picture, then resized and normalised."""
        rgb_CHW = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() * self.rescale_factor
        square = max(image.size)
        wide = _resample(rgb_CHW, square, self.side)
        resized = _resample(wide.transpose(1, 2), square, self.side).transpose(1, 2)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return ((resized - mean) / std).contiguous()


def _resample(rows: Tensor, length: int, side: int) -> Tensor:
    """[C, N, W] with each row zero-padded to ``length`` and resampled to ``side`` points."""
    rows = F.pad(rows, (0, length - rows.shape[-1]))
    factor = length / side
    rows = _blurred(rows, max(0.0, (factor - 1) / 2))
    centres = (torch.arange(side, dtype=torch.float64) + 0.5) * factor - 0.5
    centres = length - 1 - (length - 1 - centres.abs()).abs()  # mirrored at the first and the last pixel's middle
    left = centres.floor().clamp(0, max(length - 2, 0)).long()
    share = (centres - left).to(rows.dtype)
    right = (left + 1).clamp(max=length - 1)
    return rows[..., left] * (1 - share) + rows[..., right] * share


def _blurred(rows: Tensor, sigma: float) -> Tensor:
    """Each row convolved with a Gaussian of ``sigma`` pixels, mirrored at its ends."""
    radius = int(GAUSSIAN_REACH * sigma + 0.5)
    if radius == 0:
        return rows
    places = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(rows.dtype)
    flat = F.pad(rows.reshape(-1, 1, rows.shape[-1]), (radius, radius), mode="reflect")
    return F.conv1d(flat, kernel.view(1, 1, -1)).view_as(rows)
