"""How a viewer turns the stored pixels of an AVIF: its boxes say it, and what its EXIF says of it does not count.

In: an encoded AVIF from outside. Out: the orientation as EXIF counts, and the file without it. Decoders turn nothing,
Pillow among them. Sources: ISO/IEC 23008-12:2022 (HEIF), 6.5.10 (``irot``) and 6.5.12 (``imir``); ISO/IEC 14496-12
(``meta``, ``pitm``) and 23008-12, 9.3 (``iprp``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

# Quarter turns anticlockwise, then a mirror: None, across the horizontal axis (0), across the vertical one (1).
_ORIENTATIONS = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
_TURN, _MIRROR = b"irot", b"imir"
_BRANDS = frozenset({b"avif", b"avis", b"mif1", b"msf1"})
_MAX_BOXES, _MAX_ITEMS = 1000, 1000  # far more than a photo has; a forged file could have millions


class _Box(NamedTuple):
    """A box's name and where its content begins and ends."""

    name: bytes
    start: int
    end: int


class _Property(NamedTuple):
    """A property of the main picture: its box, and the bytes that say that it is one of this picture."""

    box: _Box
    said_at: slice


def is_avif(encoded: bytes) -> bool:
    """Whether the file is of the family that AVIF belongs to."""
    return encoded[4:8] == b"ftyp" and encoded[8:12] in _BRANDS


def avif_orientation(encoded: bytes) -> int:
    """The EXIF orientation, 1 to 8, that has the effect of the file's own turn and mirror; 1 where it has none that can
    be read."""
    found = {one.box.name: encoded[one.box.start] for one in _turns(encoded)}
    mirror = found[_MIRROR] & 1 if _MIRROR in found else None
    return _ORIENTATIONS[mirror][found.get(_TURN, 0) & 3]


def avif_as_stored(encoded: bytes) -> bytes:
    """The same file with its turn and its mirror detached from the picture; no other byte changes."""
    changed = bytearray(encoded)
    for one in _turns(encoded):
        changed[one.said_at] = bytes(one.said_at.stop - one.said_at.start)
    return bytes(changed)


def _turns(encoded: bytes) -> list[_Property]:
    try:
        found = list(_properties(encoded))
    except (struct.error, LookupError):  # it is cut off, or not as it should be
        return []
    return [one for one in found if one.box.name in (_TURN, _MIRROR) and one.box.start < one.box.end <= len(encoded)]


def _properties(encoded: bytes) -> Iterator[_Property]:
    """The properties of the main picture. LookupError where a box is missing."""
    meta = _boxes(encoded, _one(_boxes(encoded, _Box(b"", 0, len(encoded))), b"meta"), header=4)
    place = _one(meta, b"pitm").start
    main = _number(encoded, place + 4, 4 if encoded[place] else 2)
    parts = _boxes(encoded, _one(meta, b"iprp"))
    known = _boxes(encoded, _one(parts, b"ipco"))
    for part in parts:
        for said_at, number in _associations(encoded, part, main) if part.name == b"ipma" else ():
            if 0 < number <= len(known):
                yield _Property(known[number - 1], said_at)


def _associations(encoded: bytes, part: _Box, main: int) -> Iterator[tuple[slice, int]]:
    """The entries of an ``ipma`` box for the main picture: their place in the file, and the number (from 1) of the
    property."""
    version, flags, items = encoded[part.start], encoded[part.start + 3], _number(encoded, part.start + 4, 4)
    id_bytes, width, at = 4 if version else 2, 2 if flags & 1 else 1, part.start + 8
    for _ in range(min(items, _MAX_ITEMS)):
        item, count = _number(encoded, at, id_bytes), encoded[at + id_bytes]
        at += id_bytes + 1
        if item == main:  # it has one entry
            for place in range(at, at + count * width, width):
                yield slice(place, place + width), _number(encoded, place, width) & (0x7FFF if width == 2 else 0x7F)
            return
        at += count * width


def _boxes(encoded: bytes, within: _Box, header: int = 0) -> list[_Box]:
    """The boxes in the content of another, after so many bytes of its own ``header``."""
    found, at = list[_Box](), within.start + header
    while at + 8 <= within.end and len(found) < _MAX_BOXES:
        size, name, own = *struct.unpack_from(">I4s", encoded, at), 8
        if size == 1:
            (size,), own = struct.unpack_from(">Q", encoded, at + 8), 16
        end = within.end if size == 0 else at + size
        if not at + own <= end <= within.end:
            break
        found.append(_Box(name, at + own, end))
        at = end
    return found


def _one(boxes: list[_Box], name: bytes) -> _Box:
    found = next((box for box in boxes if box.name == name), None)
    if found is None:
        raise LookupError(name)
    return found


def _number(encoded: bytes, at: int, size: int) -> int:
    if at + size > len(encoded):
        raise LookupError(at)
    return int.from_bytes(encoded[at : at + size])
