"""The EXIF orientation of a file: found, undone without another byte, and undone on boxes."""

from __future__ import annotations

import io

import pytest
from pictures import saved
from PIL import Image, ImageOps

from schemas.orientation import box_as_stored, box_upright, orientation_of, with_pixels_as_stored

SIZE, BOX = (50, 30), (5, 3, 20, 9)
FORMATS = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}}


def photo(format: str, orientation: int | None, byte_order: str = "<") -> bytes:
    """A black picture with a white box, whose EXIF has another field before the orientation."""
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F] = "maker"
    if orientation is not None:
        exif[0x0112] = orientation
    image = Image.new("L", SIZE)
    image.paste(255, BOX)
    return saved(image, format, exif=exif.tobytes(), **FORMATS[format])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_found_and_undone_and_the_pixels_stay(format: str, byte_order: str, orientation: int) -> None:
    before = photo(format, orientation, byte_order)
    assert orientation_of(before) == orientation
    after = with_pixels_as_stored(before)
    assert orientation_of(after) == 1
    assert len(after) == len(before)
    with Image.open(io.BytesIO(before)) as old, Image.open(io.BytesIO(after)) as new:
        assert new.getexif()[0x0112] == 1
        assert new.getexif()[0x010F] == "maker"
        assert new.tobytes() == old.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_of_what_pillow_turns_is_the_stored_one(orientation: int) -> None:
    with Image.open(io.BytesIO(photo("PNG", orientation))) as stored:
        seen = ImageOps.exif_transpose(stored).getbbox()
    assert seen is not None
    assert box_as_stored(seen, orientation, *SIZE) == BOX
    assert box_upright(BOX, orientation, *SIZE) == seen


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_says_nothing_of_it_is_as_stored_and_stays_as_it_is(format: str) -> None:
    plain = photo(format, None)
    assert (orientation_of(plain), with_pixels_as_stored(plain)) == (1, plain)


def test_of_a_tiff_pillow_has_the_turned_pixels_already() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("L", SIZE).save(file, "TIFF", exif=exif)
    with Image.open(file) as turned:
        turned.load()
        assert turned.size == SIZE[::-1]
    assert (orientation_of(file.getvalue()), with_pixels_as_stored(file.getvalue())) == (1, file.getvalue())


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_cut_off_or_forged_raises_nothing_and_keeps_its_length(format: str) -> None:
    whole = photo(format, 6)
    cuts = [whole[:end] for end in range(0, min(len(whole), 400))]
    forged = [whole[:at] + b"\xff\xff" + whole[at + 2 :] for at in range(min(len(whole), 400))]
    for content in (*cuts, *forged):
        assert 1 <= orientation_of(content) <= 8
        assert len(with_pixels_as_stored(content)) == len(content)


def test_of_a_forged_file_with_many_exif_structures_the_first_few_are_looked_at() -> None:
    empty, turned = photo("PNG", None), photo("PNG", 6)
    at = empty.index(b"eXIf") - 4
    chunk = empty[at : at + 12 + int.from_bytes(empty[at : at + 4], "big")]
    begin = turned.index(b"eXIf") - 4
    assert orientation_of(turned[:begin] + 3 * chunk + turned[begin:]) == 6
    assert orientation_of(turned[:begin] + 3000 * chunk + turned[begin:]) == 1
