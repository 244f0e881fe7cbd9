"""The orientation of an AVIF: as libavif reads it, through Pillow, which turns no pixel; undone, no pixel changed."""

from __future__ import annotations

import io
from itertools import product

import pytest
from pictures import saved
from PIL import Image, features

from schemas.orientation import orientation_of, with_pixels_as_stored

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
ORIENTATION = 0x0112


def photo(orientation: int, maker: bool = True) -> bytes:
    """As Pillow writes a photo: the orientation as a turn and a mirror, not in its EXIF."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if maker:
        exif[0x010F] = "maker"
    image = Image.new("RGB", (50, 30))
    image.paste((255, 255, 255), (5, 3, 20, 9))
    return saved(image, "AVIF", exif=exif)


def told(encoded: bytes) -> tuple[int, bytes]:
    """The orientation by libavif, and the pixels."""
    with Image.open(io.BytesIO(encoded)) as opened:
        return opened.getexif().get(ORIENTATION, 1), opened.tobytes()


@pytest.mark.parametrize("maker", [True, False])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_found_and_undone_and_the_pixels_stay(orientation: int, maker: bool) -> None:
    before = photo(orientation, maker)
    assert (told(before)[0], orientation_of(before)) == (orientation, orientation)
    after = with_pixels_as_stored(before)
    assert (len(after), orientation_of(after), told(after)) == (len(before), 1, (1, told(before)[1]))
    assert (after == before) == (orientation == 1)


@pytest.mark.parametrize(("angle", "axis"), list(product(range(4), range(2))))
def test_every_turn_and_mirror_are_what_libavif_makes_of_them(angle: int, axis: int) -> None:
    both = photo(5)
    turn, mirror = both.index(b"irot") + 4, both.index(b"imir") + 4
    changed = bytearray(both)
    changed[turn], changed[mirror] = angle, axis
    assert orientation_of(bytes(changed)) == told(bytes(changed))[0]


def test_what_its_exif_says_does_not_count() -> None:
    exif = Image.Exif()
    exif.endian = ">"
    exif[0x0128] = 6  # a number of another field, which becomes the orientation's
    plain = saved(Image.new("RGB", (50, 30)), "AVIF", exif=exif)
    field = b"\x01\x28\x00\x03\0\0\0\1\0\6"
    assert plain.count(field) == 1
    claims = plain.replace(field, b"\x01\x12" + field[2:])
    assert (told(claims)[0], orientation_of(claims), with_pixels_as_stored(claims)) == (1, 1, claims)


def test_a_file_that_is_cut_off_or_forged_raises_nothing_and_keeps_its_length() -> None:
    whole = photo(7)
    cuts = [whole[:end] for end in range(len(whole))]
    forged = [
        whole[:at] + word + whole[at + 2 :] for at in range(len(whole)) for word in (b"\xff\xff", b"\0\0", b"\0\1")
    ]
    for content in (*cuts, *forged):
        assert 1 <= orientation_of(content) <= 8
        assert len(with_pixels_as_stored(content)) == len(content)
