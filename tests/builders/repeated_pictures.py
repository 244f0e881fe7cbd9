"""A source in which pictures come twice: as the same file, as another file, with another caption."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pictures import saved
from PIL import Image

from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource

CAPTION = b"A brown dog and two cats."


def again(content: bytes, quality: int = 50) -> bytes:
    """Another file of the same picture, half as large."""
    image = Image.open(io.BytesIO(content))
    return saved(image.resize((image.width // 2, image.height // 2)), "JPEG", quality=quality)


def members(*samples: tuple[str, bytes, bytes]) -> list[tuple[str, bytes]]:
    """Of a tar, for samples of (key, picture, caption)."""
    return [one for key, image, text in samples for one in ((f"{key}.jpg", image), (f"{key}.txt", text))]


def repeating_recipe(web: Any, folder: Path, checkpoint: Path) -> LabelRecipe:
    """Pictures 0 to 2, then 0 as the same file, 1 as another one, and 0 with another caption, in other units."""
    pictures = [web.jpeg(number, 120, 90) for number in range(3)]
    first = members(*((f"p{number}", picture, CAPTION) for number, picture in enumerate(pictures)))
    second = members(
        ("same", pictures[0], CAPTION), ("near", again(pictures[1]), CAPTION), ("told", pictures[0], b"A cat.")
    )
    web.tar_of(folder / "0.tar", first)
    web.tar_of(folder / "1.tar", second)
    teacher = TeacherRecipe(checkpoint=str(checkpoint), device="cpu", batch_size=2)
    return LabelRecipe(source=WebDatasetSource(uri=str(folder)), teacher=teacher, unit_size=2, selection="all")


def exam_source(web: Any, folder: Path) -> WebDatasetSource:
    """Pictures to be evaluated on: 1 as it is, and 0 as another file."""
    pictures = [web.jpeg(number, 120, 90) for number in range(2)]
    web.tar_of(folder / "0.tar", members(("e1", pictures[1], CAPTION), ("e0", again(pictures[0]), CAPTION)))
    return WebDatasetSource(uri=str(folder))
