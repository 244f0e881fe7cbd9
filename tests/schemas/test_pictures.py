"""What a picture repeats without end is seen before a decoder copies all that came before at each of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostile_pictures import jpeg_of_exif
from pictures import saved
from PIL import Image

from schemas.pictures import MAX_REPEATED, open_picture_file


def in_digits(comments: int) -> bytes:
    return b"P3 9 9 255\n" + b"#\n" * comments + b"0 " * 243


@pytest.mark.parametrize("build", [jpeg_of_exif, in_digits])
def test_a_picture_that_repeats_without_end_is_not_opened(build: Callable[[int], bytes]) -> None:
    with open_picture_file(build(MAX_REPEATED)) as picture:
        picture.load()
    with pytest.raises(ValueError, match=rf"^{MAX_REPEATED + 1} .*, at most {MAX_REPEATED}: "):
        open_picture_file(build(MAX_REPEATED + 1))


def test_a_picture_of_the_same_bytes_in_another_format_is_opened() -> None:
    noise = b"Exif\0\0#" * 9 * MAX_REPEATED
    image = Image.frombytes("L", (len(noise) // 9, 9), noise)
    with open_picture_file(saved(image, "PPM")) as picture:
        assert picture.tobytes() == noise
