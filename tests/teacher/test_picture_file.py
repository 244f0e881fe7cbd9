"""A picture that cannot be decoded is a reject that says what to do."""

from __future__ import annotations

import pytest

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
