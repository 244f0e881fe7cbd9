"""A picture from outside, before it is decoded: its header decides whether it may be.

In: the encoded file as the source has it. Out: the Pillow image, not decoded yet, or a Reject of stage ``ground`` that
says what is wrong with it. Nothing here takes memory or time that grows with the picture.
"""

from __future__ import annotations

import warnings

from PIL import Image, UnidentifiedImageError

from schemas.pictures import MAX_SCANS, open_picture_file, too_many_scans
from schemas.records import CaptionedImage, Reject

STAGE = "ground"
_NOT_DECODED = ("heic", "heif", "svg")  # of phones, of drawings
MAX_ASPECT = 50  # a longer strip would be resized to a side of a few pixels


def open_picture(source: CaptionedImage, max_pixels: int) -> Image.Image | Reject:
    """Read the header. Reasons: ``image_unreadable``, ``image_too_many_pixels``, ``image_too_many_scans``,
    ``image_too_elongated``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is the recipe's
            image = open_picture_file(source.image)
    except Image.DecompressionBombError as error:
        return Reject(source.key, STAGE, "image_too_many_pixels", str(error))
    except Exception as error:  # hostile bytes make a decoder raise anything
        return unreadable(source, error)
    width, height = image.size
    if width * height > max_pixels:
        message = f"{width} x {height} pixels, at most {max_pixels} (max_image_pixels)"
        return Reject(source.key, STAGE, "image_too_many_pixels", message)
    if max(width, height) > MAX_ASPECT * min(width, height):
        message = f"{width} x {height} pixels, one side at most {MAX_ASPECT} times the other"
        return Reject(source.key, STAGE, "image_too_elongated", message)
    if scans := too_many_scans(image.format, source.image):
        message = f"{scans} scans, at most {MAX_SCANS}: decoding it would take hours"
        return Reject(source.key, STAGE, "image_too_many_scans", message)
    return image


def unreadable(source: CaptionedImage, error: Exception) -> Reject:
    """The Reject of a picture that raised the error when it was opened or decoded."""
    unknown = isinstance(error, UnidentifiedImageError)
    why = _unknown_format(source.extension) if unknown else f"{type(error).__name__}: {error}"
    message = f"{len(source.image)} bytes that cannot be read as a picture: {why}"
    return Reject(source.key, STAGE, "image_unreadable", message[:500])


def _unknown_format(extension: str) -> str:
    """Why Pillow does not know a picture's format, where that is no riddle."""
    if extension in _NOT_DECODED:
        return f"{extension.upper()} is not decoded here; convert it to JPEG or PNG"
    return "of no known format"
