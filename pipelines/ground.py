"""One picture and one text: the phrases of the text, each with its boxes in the picture.

    from pipelines.ground import ground_image
    found = ground_image("street.jpg", "a red car and two dogs")
    print(found); found.save("annotated.png")

The same stages as the labelling job (`pipelines.labelling.stages.grounding_stages`), on one sample, in this process.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from textwrap import shorten
from typing import Any

from PIL import Image

from engine.running.cores import usable_cores
from engine.running.stages import OpenedStages
from engine.sources.columns import is_encodable
from glip.rgb import as_rgb, upright
from pipelines.console.terminal import visible
from pipelines.labelling.stages import grounding_stages
from pipelines.pictures.draw import LabelledBox, draw_boxes
from pipelines.pictures.upright import Turn
from schemas.orientation import AS_STORED, orientation_of
from schemas.pictures import open_picture_file
from schemas.recipes import GroundRecipe
from schemas.records import Candidate, CaptionedImage, Phrase, Unit, UnitRef

MIN_SCORE = 0.5  # what GLIP calls high-confidence (section 3.3)
MAX_IMAGE_BYTES = 50_000_000
WRITTEN_FORMATS = ("PNG", "JPEG", "WEBP")

ImageLike = str | os.PathLike[str] | bytes | Image.Image


@dataclass(frozen=True)
class GroundedImage:
    """What was found in a picture.

    ``image`` is the encoded picture. ``boxes`` are in pixels of it as stored (EXIF orientation is not applied), sorted
    by the number of their phrase in ``phrases``, best first. ``phrases`` includes those without a box; ``left_out`` are
    phrases with more tokens than the teacher reads, which were not asked for.
    """

    image: bytes = field(repr=False)
    caption: str
    phrases: tuple[Phrase, ...]
    boxes: tuple[Candidate, ...]
    left_out: tuple[Phrase, ...]
    min_score: float

    def __str__(self) -> str:
        return table(self)

    def _repr_jpeg_(self) -> bytes | None:
        """The annotated picture, which is what a notebook shows of the object."""
        return self.annotated()._repr_jpeg_()

    def annotated(self) -> Image.Image:
        """The picture with its boxes, upright as the teacher saw it: a colour a phrase, the better box on top."""
        best_first = sorted(self.boxes, key=lambda box: -box.score)
        with open_picture_file(self.image) as stored:
            turn = Turn.of(self.image, stored.size)
            labels = [
                LabelledBox(turn.box(b.box_xyxy), f"{self.phrases[b.phrase].text} {b.score:.2f}", b.phrase)
                for b in best_first
            ]
            return draw_boxes(upright(stored, turn.orientation), labels)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the annotated picture in the format of the path's ending. ValueError where that cannot be."""
        path = Path(path)
        image_format = check_out(path)
        file = io.BytesIO()
        self.annotated().save(file, image_format)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.getvalue())
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error
        return path

    def plain(self) -> dict[str, Any]:
        """The answer as JSON values, without the picture."""
        phrases = [{"text": p.text, "start": p.start, "end": p.end, "head_lemma": p.head_lemma} for p in self.phrases]
        boxes = [
            {"phrase": b.phrase, "text": self.phrases[b.phrase].text, "score": b.score, "box_xyxy": list(b.box_xyxy)}
            for b in self.boxes
        ]
        left_out = [phrase.text for phrase in self.left_out]
        return {"caption": self.caption, "phrases": phrases, "boxes": boxes, "left_out": left_out}


def ground_image(
    image: ImageLike, caption: str, checkpoint: str = "nano", *, min_score: float = MIN_SCORE
) -> GroundedImage:
    """Find the noun phrases of a caption in a picture, with a GLIP checkpoint by name or path.

    image: a path, an encoded file, or a Pillow image, whose pixels are taken as they stand. min_score: the least score
    of a box, in (0, 1). The model and the parser stay open for the next call with the same options.

    ValueError where the picture cannot be read, or the caption has no noun phrase that the model can be asked for;
    TypeError where they are something else.
    """
    recipe = interactive_recipe()
    recipe["teacher"]["checkpoint"] = checkpoint
    return ground_with(GroundRecipe.model_validate({**recipe, "min_score": min_score}), image, caption)


def interactive_recipe() -> dict[str, Any]:
    """Fields of a recipe for one picture that somebody waits for: all cores, and no boxes of low score."""
    return {"min_score": MIN_SCORE, "teacher": {"threads": usable_cores(), "batch_size": 1}}


def ground_with(recipe: GroundRecipe, image: ImageLike, caption: str) -> GroundedImage:
    """:func:`ground_image` with any teacher and any option of the recipe."""
    name = str(image) if isinstance(image, str | os.PathLike) else "the picture"
    if not isinstance(caption, str):
        raise TypeError(f"the text is one caption such as 'a dog and two cats', not a {type(caption).__name__}")
    if not is_encodable(caption):
        raise ValueError(f"the text {caption!r} is no UTF-8, so no model can read it; type it in a UTF-8 locale")
    encoded = _encoded(image)
    parse, ask, answer = _opened(recipe)
    parsed = parse(Unit(UnitRef(0, name, 0, 1), (CaptionedImage("picture", encoded, "", caption, name),)))
    asked = ask(parsed)
    if asked.rejects:
        reject = asked.rejects[0]
        wanted = "; wanted a noun phrase, as in 'two dogs'" if reject.reason in ("caption_empty", "no_phrase") else ""
        raise ValueError(f"the text: {reject.message}{wanted}")
    answered = answer(asked)
    if answered.rejects and answered.rejects[0].reason != "no_candidate":
        raise ValueError(f"{name}: {answered.rejects[0].message}")
    phrases = asked.records[0].phrases
    boxes = answered.records[0].candidates if answered.records else ()
    left_out = tuple(phrase for phrase in parsed.records[0].phrases if phrase not in phrases)
    return GroundedImage(encoded, caption, phrases, boxes, left_out, recipe.min_score)


def table(found: GroundedImage) -> str:
    """A line a box: phrase, score and corners in pixels; a phrase without a box has a line that says why.

    The corners of a photo that EXIF turns are of the stored pixels, and the heading says so.
    """
    pixels = "pixels" if orientation_of(found.image) == AS_STORED else "pixels as stored"
    rows = [("phrase", "score", f"box, {pixels} (x1 y1 x2 y2)")]
    for number, phrase in enumerate(found.phrases):
        boxes = [box for box in found.boxes if box.phrase == number]
        rows += [(phrase.text, f"{b.score:.2f}", " ".join(f"{side:7.1f}" for side in b.box_xyxy)) for b in boxes]
        if not boxes:
            rows.append((phrase.text, "-", f"none scores {found.min_score:g} or more"))
    rows += [(shorten(phrase.text, 60), "-", "longer than the teacher reads") for phrase in found.left_out]
    rows = [(visible(" ".join(text.split())), score, box) for text, score, box in rows]
    width = max(len(text) for text, _, _ in rows)
    return "\n".join(f"{text:{width}}  {score:>5}  {box}" for text, score, box in rows)


def check_out(path: Path) -> str:
    """The Pillow format of a file of this name. ValueError where such a file cannot be written."""
    image_format = Image.registered_extensions().get(path.suffix.lower())
    if image_format not in WRITTEN_FORMATS:
        raise ValueError(f"{path}: wanted a picture's name ending in .png, .jpg or .webp, not {path.suffix!r}")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise ValueError(f"{path} cannot be written; give --out in a folder that you may write to")
    return image_format


@lru_cache(maxsize=1)
def _opened(recipe: GroundRecipe) -> tuple[OpenedStages, OpenedStages, OpenedStages]:
    """The opened stages: caption to phrases, phrases to prompts, prompts to boxes."""
    parse, ask, *answer = grounding_stages(recipe)
    return OpenedStages([parse]), OpenedStages([ask]), OpenedStages(answer)


def _encoded(image: ImageLike) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, Image.Image):
        file = io.BytesIO()
        as_rgb(image).save(file, "PNG")  # which has no CMYK, and no other mode that a model does not see as RGB
        return file.getvalue()
    if not isinstance(image, str | os.PathLike):
        raise TypeError(
            f"a picture is a path, the bytes of a file or a Pillow image, not a {type(image).__name__}; "
            "PIL.Image.fromarray makes one of an RGB array"
        )
    path = Path(image)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such picture")
    if path.stat().st_size > MAX_IMAGE_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, at most {MAX_IMAGE_BYTES} are read")
    return path.read_bytes()
