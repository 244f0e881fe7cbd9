"""The workload of the speed benchmark: pictures as JPEG, captions, and the type of the sides.

In: a config, the padded image size, batch size and caption length. Out: decoded pictures, model inputs, boxes.

Shapes: B batch, H W image, T tokens.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from glip.config import GLIPConfig
from glip.model import GLIP
from glip.postprocess import PhraseBoxes
from glip.preprocess import image_tensor, pad_batch
from glip.tokens import padded_length

_ORIGINAL_WIDTH = 640  # as most photos of COCO
_TOKENS_A_PHRASE = 2
_MAX_PHRASES = 80  # as many as COCO has classes


@dataclass(frozen=True)
class Inputs:
    images_B3HW: Tensor
    token_ids_BT: Tensor
    attention_mask_BT: Tensor


@dataclass(frozen=True)
class Side:
    """One of the implementations that are compared. glip: whether it has the weights that all of GLIP share, so that it
    finds the same boxes. hooked: its model if components can be timed, else None."""

    name: str
    model: Callable[..., Any]
    glip: bool
    hooked: GLIP | None
    post_process: Callable[..., list[PhraseBoxes]]
    padded: bool
    bf16: bool
    flops: dict[int, int]

    def __call__(self, inputs: Inputs) -> Any:
        with torch.autocast(inputs.images_B3HW.device.type, torch.bfloat16, enabled=self.bf16):
            return self.model(inputs.images_B3HW, inputs.token_ids_BT, inputs.attention_mask_BT)


class Workload:
    """A batch of pictures of one size with captions of one length; always the same."""

    def __init__(
        self, config: GLIPConfig, image_hw: tuple[int, int], batch: int, tokens: int, device: torch.device
    ) -> None:
        if tokens > config.max_tokens:
            raise SystemExit(f"--tokens {tokens}: a {config.name} model takes {config.max_tokens} at most")
        self.config, self.image_hw, self.batch, self.tokens, self.device = config, image_hw, batch, tokens, device
        self.phrases = [[first, first + 1] for first in range(1, tokens - _TOKENS_A_PHRASE, _TOKENS_A_PHRASE)][
            :_MAX_PHRASES
        ]
        self._original_hw = (round(_ORIGINAL_WIDTH * image_hw[0] / image_hw[1]), _ORIGINAL_WIDTH)
        self._jpegs = [_jpeg(number, self._original_hw) for number in range(batch)]

    def decode(self) -> list[Image.Image]:
        return [_decoded(jpeg) for jpeg in self._jpegs]

    def preprocess(self, pictures: list[Image.Image]) -> Tensor:
        """[B, 3, H, W], normalised, on the device."""
        return self.pad([image_tensor(picture, self.image_hw) for picture in pictures])

    def picture(self, slot: int) -> Tensor:
        """One picture of the batch, decoded and resized."""
        return image_tensor(_decoded(self._jpegs[slot]), self.image_hw)

    def pad(self, images: list[Tensor]) -> Tensor:
        return pad_batch(images, self.image_hw, self.device)

    def inputs(self, images_B3HW: Tensor | None = None, *, padded: bool = False) -> Inputs:
        """The inputs on the device. ``padded``: captions are padded to the model's longest, else as the teacher
        does."""
        images_B3HW = self.preprocess(self.decode()) if images_B3HW is None else images_B3HW
        longest = self.config.max_tokens
        length = longest if padded else min(padded_length(self.tokens), longest)
        random = np.random.RandomState(0)
        # Drawn for the longest, so that all sides get the same captions.
        ids_BT = torch.from_numpy(random.randint(5, self.config.vocabulary_size, (self.batch, longest)))[:, :length]
        mask_BT = (torch.arange(length) < self.tokens).expand(self.batch, -1)
        tensors = (images_B3HW, ids_BT * mask_BT, mask_BT)
        return Inputs(*(tensor.to(self.device, non_blocking=True) for tensor in tensors))

    def post_process(self, side: Side, output: Any) -> list[PhraseBoxes]:
        sizes = [self.image_hw] * self.batch
        originals = [self._original_hw] * self.batch
        return side.post_process(output, [self.phrases] * self.batch, sizes, originals, self.config)


def _decoded(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def _jpeg(number: int, size_hw: tuple[int, int]) -> bytes:
    """A picture with coarse and fine structure, as large as a photo's file."""
    random = np.random.RandomState(number)
    height, width = size_hw
    coarse = Image.fromarray(random.randint(0, 256, (8, 12, 3), dtype=np.uint8)).resize((width, height), 2)
    noisy = np.asarray(coarse, dtype=np.int16) + random.randint(-12, 13, (height, width, 3))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()
