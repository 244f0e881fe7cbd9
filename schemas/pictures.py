"""How a picture from outside is opened, wherever that is done: what a decoder may be asked, and what it is not given.

In: an encoded picture. Out: its format by its first bytes; the Pillow image, not decoded yet.
"""

from __future__ import annotations

import io
import re

from PIL import Image

# No format that starts another program (EPS) or can hold scripts.
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
MAX_SCANS = 200  # of a progressive JPEG: each is a pass over the whole picture, and twenty bytes make one
# Pillow copies what it has of a JPEG's EXIF at each further segment, and what is left of a picture in digits at each
# comment: the time grows with the square of their number, and a picture has one or two.
MAX_REPEATED = 1000
_JPEG, _EXIF_SEGMENT = b"\xff\xd8", b"Exif\0\0"
_IN_DIGITS, _COMMENT = (b"P1", b"P2", b"P3"), b"#"
_MAGIC = (
    (re.compile(rb"\xff\xd8\xff"), "jpg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp"),
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL), "bmp"),
    (re.compile(rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+"), "tif"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "avif"),
    (re.compile(rb"....ftyp(?:heic|heix|mif1|msf1)", re.DOTALL), "heic"),
    (re.compile(rb"\x00\x00\x00\x0cjP  \r\n\x87\n"), "jp2"),
    (re.compile(rb"\xff\x4f\xff\x51"), "j2k"),
    (re.compile(rb"P[1-6]\s"), "ppm"),
)


def image_extension(content: bytes) -> str | None:
    """``jpg``, ``png``, ``webp`` …, by the signature of the file format; None for what is no picture.

    >>> image_extension(b"<!DOCTYPE html>") is None
    True
    """
    return next((extension for magic, extension in _MAGIC if magic.match(content)), None)


def open_picture_file(encoded: bytes) -> Image.Image:
    """Open a picture by its header, without decoding it.

    ValueError for a file that is made to take hours. Of other hostile bytes Pillow may raise any exception, here and
    later when the picture is decoded.
    """
    if encoded.startswith(_JPEG):
        _check_repeated(encoded, _EXIF_SEGMENT, "EXIF segments")
    elif encoded.startswith(_IN_DIGITS):
        _check_repeated(encoded, _COMMENT, "comments")
    return Image.open(io.BytesIO(encoded), formats=IMAGE_FORMATS)


def too_many_scans(format: str | None, encoded: bytes) -> int:
    """The number of scans of an encoded picture, if that is more than can be decoded in reasonable time; else 0."""
    scans = encoded.count(b"\xff\xda") if format in ("JPEG", "MPO") else 0
    return scans if scans > MAX_SCANS else 0


def _check_repeated(encoded: bytes, part: bytes, what: str) -> None:
    count = encoded.count(part)
    if count > MAX_REPEATED:
        raise ValueError(f"{count} {what}, at most {MAX_REPEATED}: opening it would take hours")
