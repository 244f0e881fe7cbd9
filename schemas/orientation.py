"""The orientation of a picture file: how a viewer turns the stored pixels before it shows them.

In: an encoded JPEG, PNG, WebP or AVIF from outside. Out: its orientation, 1 to 8 as EXIF counts; the file with
orientation 1; a box of the turned picture in pixels of the stored one, and the other way. Pixels are never decoded. A
TIFF has no orientation here: decoders, Pillow among them, turn it themselves.

Source: CIPA DC-008 (Exif 2.32), 4.6.2 (the TIFF structure) and 4.6.4 (tag 0x0112).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import islice

from schemas.avif_orientation import avif_as_stored, avif_orientation, is_avif

AS_STORED = 1
SWAPS_SIDES = frozenset({5, 6, 7, 8})  # the turned picture is as wide as the stored one is high
_MIRRORED_X, _MIRRORED_Y = frozenset({2, 3, 7, 8}), frozenset({3, 4, 6, 7})  # of the stored picture, after the swap
_TAG, _SHORT, _ENTRY_BYTES, _MAX_ENTRIES = 0x0112, 3, 12, 1000
_MAX_STRUCTURES = 8  # of EXIF in a file, which has one; a forged file could have millions
_EXIF, _PNG = b"Exif\0\0", b"\x89PNG\r\n\x1a\n"
_START_OF_SCAN, _APP1 = 0xDA, 0xE1

Box = tuple[float, float, float, float]


def orientation_of(encoded: bytes) -> int:
    """1 to 8 as EXIF counts; 1, as stored, where the file says nothing that can be understood."""
    if is_avif(encoded):
        return avif_orientation(encoded)
    at = _place(encoded)
    return AS_STORED if at is None else encoded[at] or encoded[at + 1]


def with_pixels_as_stored(encoded: bytes) -> bytes:
    """The same file, so that a reader that turns pictures leaves this one as it is stored.

    An EXIF orientation becomes 1, and an AVIF's own turn and mirror are detached. No other byte changes, but for the
    checksum of a PNG's chunk.
    """
    if is_avif(encoded):
        return avif_as_stored(encoded)
    at = _place(encoded)
    if at is None:
        return encoded
    value = b"\0\1" if encoded[at] == 0 else b"\1\0"
    changed = encoded[:at] + value + encoded[at + 2 :]
    return _with_checksum(changed, at) if encoded.startswith(_PNG) else changed


def turned_size(size_wh: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height after the turn, or before it: swapping undoes itself."""
    return size_wh[::-1] if orientation in SWAPS_SIDES else size_wh


def box_as_stored(box_xyxy: Box, orientation: int, width: int, height: int) -> Box:
    """A box of the turned picture in pixels of the stored one, which has ``width`` and ``height``.

    >>> box_as_stored((0, 0, 10, 20), 6, 400, 300)  # a phone held upright: its top left is the sensor's lower left
    (0, 290, 20, 300)
    """
    x1, y1, x2, y2 = box_xyxy
    if orientation in SWAPS_SIDES:
        x1, y1, x2, y2 = y1, x1, y2, x2
    if orientation in _MIRRORED_X:
        x1, x2 = width - x2, width - x1
    if orientation in _MIRRORED_Y:
        y1, y2 = height - y2, height - y1
    return (x1, y1, x2, y2)


def box_upright(box_xyxy: Box, orientation: int, width: int, height: int) -> Box:
    """A box of the stored picture, which has ``width`` and ``height``, in pixels of the turned one.

    >>> box_upright((0, 290, 20, 300), 6, 400, 300)
    (0, 0, 10, 20)
    """
    back = {6: 8, 8: 6}.get(orientation, orientation)  # the other turns undo themselves
    return box_as_stored(box_xyxy, back, *turned_size((width, height), orientation))


def _place(encoded: bytes) -> int | None:
    """Where the two bytes of an orientation of 2 to 8 stand; None where there is none."""
    starts = islice(_tiff_starts(encoded), _MAX_STRUCTURES)
    try:
        return next((at for start in starts if (at := _value_place(encoded, start)) is not None), None)
    except struct.error:  # it is cut off
        return None


def _tiff_starts(encoded: bytes) -> Iterator[int]:
    """Where EXIF's TIFF structure begins: its place depends on the file format."""
    if encoded.startswith(b"\xff\xd8"):
        yield from (at + len(_EXIF) for at in _jpeg_segments(encoded) if encoded.startswith(_EXIF, at))
    elif encoded.startswith(_PNG):
        yield from (at for name, at, _ in _chunks(encoded, len(_PNG), ">I4s", 4) if name == b"eXIf")
    elif encoded.startswith(b"RIFF"):
        for name, at, _ in _chunks(encoded, 12, "<4sI", 0):
            if name == b"EXIF":
                yield at + len(_EXIF) * encoded.startswith(_EXIF, at)


def _jpeg_segments(encoded: bytes) -> Iterator[int]:
    """Where the contents of the APP1 segments before the picture begin."""
    at = 2
    while True:
        mark, marker, length = struct.unpack_from(">BBH", encoded, at)
        if mark != 0xFF or marker == _START_OF_SCAN or length < 2:
            return
        if marker == _APP1:
            yield at + 4
        at += 2 + length


def _chunks(encoded: bytes, at: int, header: str, checksum: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and length of the chunks of a PNG or a WebP."""
    while at < len(encoded):
        fields = struct.unpack_from(header, encoded, at)
        name, length = fields if isinstance(fields[0], bytes) else fields[::-1]
        yield name, at + 8, length
        at += 8 + length + (checksum or length % 2)


def _value_place(encoded: bytes, start: int) -> int | None:
    """Where the orientation's value stands in the first directory of a TIFF structure."""
    order = {b"II": "<", b"MM": ">"}.get(encoded[start : start + 2])
    if order is None:
        return None
    (directory,) = struct.unpack_from(f"{order}I", encoded, start + 4)
    (entries,) = struct.unpack_from(f"{order}H", encoded, start + directory)
    for number in range(min(entries, _MAX_ENTRIES)):
        at = start + directory + 2 + _ENTRY_BYTES * number
        tag, kind, count, value = struct.unpack_from(f"{order}HHIH", encoded, at)
        if (tag, kind, count) == (_TAG, _SHORT, 1):
            return at + 8 if 2 <= value <= 8 else None
    return None


def _with_checksum(png: bytes, inside: int) -> bytes:
    """A PNG whose chunk around the byte ``inside`` has the checksum of its content."""
    for name, at, length in _chunks(png, len(_PNG), ">I4s", 4):
        end = at + length
        if at <= inside < end <= len(png) - 4:
            return png[:end] + struct.pack(">I", zlib.crc32(name + png[at:end])) + png[end + 4 :]
    return png
