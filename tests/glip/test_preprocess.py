"""Sizes, colours and padding of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from glip.config import GLIPConfig
from glip.preprocess import bucket_shape, image_tensor, pad_batch, resized_shape
from glip.rgb import as_rgb

SIDES = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((480, 640), (800, 1066)),  # the long side is cut, not rounded: 1066.7
        ((640, 480), (1066, 800)),
        ((800, 900), (800, 900)),
        ((400, 1000), (533, 1332)),  # the cap of 1333 decides the short side first
        ((500, 900), (741, 1333)),  # and that one is rounded: 740.6
    ],
)
def test_resizing_follows_the_rule_of_the_reference(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert resized_shape(*size, 800, 1333) == wanted


@given(height=SIDES, width=SIDES)
def test_no_size_leaves_its_bounds_or_vanishes(height: int, width: int) -> None:
    new_height, new_width = resized_shape(height, width, 224, 320)
    assert 1 <= min(new_height, new_width) <= 224
    assert max(new_height, new_width) <= 321 + max(height, width) // min(height, width)


@given(height=SIDES, width=SIDES)
def test_a_bucket_holds_its_image_in_few_shapes(height: int, width: int) -> None:
    config = GLIPConfig.nano()
    resized = resized_shape(height, width, config.test_min_size, config.test_max_size)
    bucket = bucket_shape(*resized, config)
    assert all(side % 32 == 0 and side >= own for side, own in zip(bucket, resized, strict=True))
    if max(resized) <= config.bucket_sides[-1]:
        assert set(bucket) <= set(config.bucket_sides)


def test_photos_of_common_shapes_are_padded_as_little_as_the_reference_does() -> None:
    config = GLIPConfig.tiny()
    assert bucket_shape(800, 1066, config) == (800, 1088)
    assert bucket_shape(1200, 800, config) == (1216, 800)


def test_sides_beyond_the_largest_bucket_grow_to_multiples_of_32() -> None:
    assert bucket_shape(1, 5000, GLIPConfig.tiny()) == (128, 5024)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_every_image_mode_becomes_three_channels(mode: str) -> None:
    assert image_tensor(Image.new("RGB", (30, 20)).convert(mode), (16, 24)).shape == (3, 16, 24)


def test_channels_are_blue_green_red_and_normalised() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, :, 0] = 255  # red
    (tensor,) = pad_batch([image_tensor(Image.fromarray(pixels), (32, 32))], (32, 32))
    wanted = torch.tensor([-103.530 / 57.375, -116.280 / 57.120, (255 - 123.675) / 58.395])
    torch.testing.assert_close(tensor, wanted.view(3, 1, 1).expand(3, 32, 32))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
def test_a_grey_picture_of_more_than_eight_bits_keeps_its_greys(mode: str) -> None:
    values = np.arange(256).reshape(16, 16) * (257 if mode.startswith("I;16") else 1000)
    kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}[mode]
    image = Image.frombytes(mode, (16, 16), values.astype(kind).tobytes())
    assert (np.asarray(as_rgb(image))[:, :, 1] == np.arange(256).reshape(16, 16)).all()


def test_a_picture_of_floats_that_are_no_numbers_or_all_the_same_is_still_one() -> None:
    values = np.full((4, 4), np.nan, dtype=np.float32)
    assert np.asarray(as_rgb(Image.fromarray(values))).max() == 0


def test_padding_is_zero_at_the_right_and_the_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is not written holds anything.
    monkeypatch.setattr(torch, "empty", lambda *shape, dtype, **_: torch.full(shape, 77, dtype=dtype))
    batch = pad_batch([noise(20, 30), noise(32, 10)], (32, 32))
    assert (batch.shape, batch.dtype) == ((2, 3, 32, 32), torch.float32)
    for beside in (batch[0, :, 20:], batch[0, :, :, 30:], batch[1, :, :, 10:]):
        assert not beside.any()
    for picture in (batch[0, :, :20, :30], batch[1, :, :, :10]):
        assert picture.all()  # no byte is the mean: none of these is zero


def test_a_picture_is_the_same_beside_a_larger_one() -> None:
    small, large = noise(20, 30), noise(32, 32)
    assert torch.equal(pad_batch([small, large], (32, 64))[0], pad_batch([small], (32, 64))[0])


@pytest.mark.gpu
def test_a_batch_on_a_gpu_is_that_of_the_cpu_to_the_last_bit() -> None:
    images = [noise(20, 30), noise(32, 10)]
    batch = pad_batch(images, (32, 32), torch.device("cuda"))
    assert batch.is_cuda
    assert torch.equal(batch.cpu(), pad_batch(images, (32, 32)))


def noise(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(height))


def test_an_image_larger_than_its_bucket_is_refused() -> None:
    with pytest.raises(ValueError, match="40x30 does not fit into 32x32"):
        pad_batch([noise(40, 30)], (32, 32))
    with pytest.raises(ValueError, match="no images"):
        pad_batch([], (32, 32))


@pytest.mark.parametrize(
    "function", [lambda: resized_shape(0, 5, 224, 320), lambda: bucket_shape(0, 5, GLIPConfig.nano())]
)
def test_an_empty_image_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        function()  # type: ignore[operator]
