"""What a decoder may be asked to open, wherever a picture from outside is decoded."""

from __future__ import annotations

# No format that starts another program (EPS) or can hold scripts.
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
MAX_SCANS = 200  # of a progressive JPEG: each is a pass over the whole picture, and twenty bytes make one


def too_many_scans(format: str | None, encoded: bytes) -> int:
    """How many scans an encoded picture has, where they are more than would be decoded in a reasonable time; else 0."""
    scans = encoded.count(b"\xff\xda") if format in ("JPEG", "MPO") else 0
    return scans if scans > MAX_SCANS else 0
