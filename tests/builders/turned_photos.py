"""Photos with an EXIF orientation, as phones write them, and what stands on them when a viewer has turned them."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageOps

WIDTH, HEIGHT = 60, 40  # of the stored pixels
STORED_BOX = (5, 3, 20, 9)
Box = tuple[int, int, int, int]


def turned_photo(path: Path, orientation: int) -> tuple[tuple[int, int], Box]:
    """Write a photo with something bright in :data:`STORED_BOX`; its size, and that box, as it is seen."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("L", (WIDTH, HEIGHT))
    image.paste(255, STORED_BOX)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)
    return seen(path)


def seen(path: Path) -> tuple[tuple[int, int], Box]:
    """The size of a picture, and the box of what is bright, as a viewer that turns pictures has them."""
    with Image.open(path) as stored:
        shown = ImageOps.exif_transpose(stored)
    box = shown.point(lambda level: 255 * (level > 128)).getbbox()
    assert box is not None
    return shown.size, box


def stored_as(photo: Image.Image, orientation: int) -> bytes:
    """The photo as a camera that is held so stores it: what viewers turn back."""
    undone = {6: 8, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[0x0112] = undone
    file = io.BytesIO()
    photo.save(file, "PNG", exif=exif)
    with Image.open(file) as turned:
        lying = ImageOps.exif_transpose(turned)
    exif[0x0112] = orientation
    file = io.BytesIO()
    lying.save(file, "PNG", exif=exif)
    return file.getvalue()


def turned_yolo(folder: Path, orientation: int) -> None:
    """Labels of such a photo in YOLO's layout, drawn by a tool that turns pictures."""
    (width, height), (x1, y1, x2, y2) = turned_photo(folder / "images" / "one.png", orientation)
    shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    (folder / "labels").mkdir()
    (folder / "labels" / "one.txt").write_text("0 " + " ".join(map(str, shares)))
    (folder / "classes.txt").write_text("dog")
