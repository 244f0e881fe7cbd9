"""A picture that cannot be decoded is a reject that says what to do."""

from __future__ import annotations

import pytest
from pictures import saved
from PIL import Image

from schemas.records import CaptionedImage, Reject
from teacher.picture_file import open_picture


@pytest.mark.parametrize(
    ("extension", "message"), [("heic", "HEIC is not decoded here; convert it to JPEG"), ("jpg", "of no known format")]
)
def test_photos_of_a_phone_are_told_to_be_converted(extension: str, message: str) -> None:
    photo = CaptionedImage("a", b"\0\0\0\x18ftypheic" + bytes(100), extension, "a dog", "a")
    found = open_picture(photo, 1_000_000)
    assert isinstance(found, Reject)
    assert found.reason == "image_unreadable"
    assert message in found.message


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((100, 2), None),
        ((101, 2), "image_too_elongated"),
        ((2, 101), "image_too_elongated"),
        ((20, 30), None),
        ((20, 31), "image_too_many_pixels"),
    ],
)
def test_a_picture_at_a_limit_is_opened_and_one_beyond_it_is_not(size: tuple[int, int], reason: str | None) -> None:
    found = open_picture(CaptionedImage("a", saved(Image.new("L", size)), "png", "a dog", "a"), 600)
    assert (found.reason if isinstance(found, Reject) else None) == reason
