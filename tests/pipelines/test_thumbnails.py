"""Thumbnails show what the teacher saw: grey pictures of many bits are scaled, not cut off to white."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hostile_pictures import flipped
from pictures import saved
from PIL import Image

from glip.rgb import as_rgb
from pipelines.pages.picture_cards import small_jpeg


def test_only_formats_of_datasets_are_decoded() -> None:
    for image_format, is_shown in (("WEBP", True), ("PCX", False)):
        assert (small_jpeg(saved(Image.new("RGB", (8, 8)), image_format)) is not None) is is_shown


@pytest.mark.parametrize("format", ["AVIF", "JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_with_a_damaged_byte_is_shown_or_not_and_ends_no_report(format: str) -> None:
    whole = saved(Image.radial_gradient("L").resize((16, 16)), format)
    shown = {small_jpeg(flipped(whole, at)) is not None for at in range(0, len(whole), 3)}
    assert shown == {True, False}


@pytest.mark.parametrize("bits", [16, 32])
def test_a_deep_grey_picture_keeps_its_shades(bits: int) -> None:
    ramp = np.tile(np.linspace(0, 65535, 64), (64, 1))
    picture = Image.fromarray(ramp.astype(np.uint16) if bits == 16 else ramp.astype(np.int32))
    jpeg = small_jpeg(saved(picture, "PNG" if bits == 16 else "TIFF"))
    assert jpeg is not None
    shown = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L")).mean(axis=0)
    assert shown[0] < 10
    assert shown[-1] > 245
    assert np.abs(shown - np.asarray(as_rgb(picture).convert("L")).mean(axis=0)).max() < 6
