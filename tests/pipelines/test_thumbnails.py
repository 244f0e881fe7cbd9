"""Thumbnails show what the teacher saw: grey pictures of many bits are scaled, not cut off to white."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from glip.rgb import as_rgb
from pipelines.pages.picture_cards import small_jpeg


@pytest.mark.parametrize("bits", [16, 32])
def test_a_deep_grey_picture_keeps_its_shades(bits: int) -> None:
    ramp = np.tile(np.linspace(0, 65535, 64), (64, 1))
    picture = Image.fromarray(ramp.astype(np.uint16) if bits == 16 else ramp.astype(np.int32))
    file = io.BytesIO()
    picture.save(file, "PNG" if bits == 16 else "TIFF")
    jpeg = small_jpeg(file.getvalue(), 64 * 64)
    assert jpeg is not None
    shown = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L")).mean(axis=0)
    assert shown[0] < 10
    assert shown[-1] > 245
    assert np.abs(shown - np.asarray(as_rgb(picture).convert("L")).mean(axis=0)).max() < 6
