"""One labelled picture as a page shows it: a thumbnail, the caption cut at its phrases, boxes as shares of the image.

In: a sample's labels, upright (:mod:`pipelines.pictures.upright`), its encoded picture. Out: a :class:`Picture`, and as
a record for ``templates/card.js``, which makes a card of it. Nothing here is trusted: text stays text.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from pipelines.pictures.upright import upright_picture
from schemas.calibration import BoxSize
from schemas.dataset_vocabulary import PhraseCount
from schemas.shards import SampleBox, SampleLabels

MAX_SIDE = 448
JPEG_QUALITY = 78
MAX_BOXES = 60
MAX_CAPTION_CHARS = 500
MAX_PHRASE_CHARS = 200
MAX_NAME_CHARS = 160
# COCO's: the area of the box in pixels of the original image, below 32 x 32 and below 96 x 96.
SMALL_AREA, MEDIUM_AREA = 32 * 32, 96 * 96


CaptionPart = tuple[str, int | None]
"""A stretch of the caption: plain (None), or a phrase by its number in the labels."""


@dataclass(frozen=True)
class DrawnBox:
    """A box ``at`` left, top, width and height in percent of the image's; ``number`` is its place in the labels."""

    number: int
    phrase: int
    score: float
    at: list[float]
    size: BoxSize


@dataclass(frozen=True)
class Picture:
    """A picture's card.

    ``jpeg`` is a thumbnail in base64; size and boxes are of the whole picture, upright. ``phrases``: the texts of the
    phrases that have a box, by their number in the labels, in the caption's order.
    """

    key: str
    source: str
    width: int
    height: int
    caption: tuple[CaptionPart, ...]
    phrases: dict[int, str]
    boxes: tuple[DrawnBox, ...]
    boxes_left_out: int
    jpeg: str


def thumbnail(image: bytes) -> str | None:
    """:func:`small_jpeg` in base64."""
    jpeg = small_jpeg(image)
    return None if jpeg is None else base64.b64encode(jpeg).decode()


def small_jpeg(image: bytes, max_side: int = MAX_SIDE) -> bytes | None:
    """A small JPEG of an encoded image, upright and without metadata; None where it cannot be decoded or is huge."""
    small = upright_picture(image, max_side)
    return None if small is None else jpeg_of(small)


def jpeg_of(picture: Image.Image) -> bytes:
    """The picture, which is in RGB, as a page shows it."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return file.getvalue()


def draw(labels: SampleLabels, jpeg: str, source_uri: str = "") -> Picture:
    """The card of a sample: the best boxes to a bound, phrases in the order of the caption.

    ``source_uri``: of the unit, which names the source where the sample's own locator does not.
    """
    best = sorted(enumerate(labels.boxes), key=lambda numbered: -numbered[1].score)[:MAX_BOXES]
    in_order = sorted({box.phrase for _, box in best}, key=lambda number: (labels.phrases[number].start, number))
    boxes = [_drawn(number, box, labels) for number, box in best]
    boxes.sort(key=lambda box: -box.at[2] * box.at[3])  # small ones are drawn last and stay on top
    return Picture(
        key=labels.key,
        source=source_of(labels.locator, source_uri)[:MAX_NAME_CHARS],
        width=labels.width,
        height=labels.height,
        caption=tuple(caption_parts(labels, set(in_order))),
        phrases={number: labels.phrases[number].text for number in in_order},
        boxes=tuple(boxes),
        boxes_left_out=len(labels.boxes) - len(best),
        jpeg=jpeg,
    )


def _drawn(number: int, box: SampleBox, labels: SampleLabels) -> DrawnBox:
    x1, y1, x2, y2 = box.box_xyxy
    area = (x2 - x1) * (y2 - y1)
    width, height = labels.width, labels.height
    at = (100 * x1 / width, 100 * y1 / height, 100 * (x2 - x1) / width, 100 * (y2 - y1) / height)
    return DrawnBox(
        number=number,
        phrase=box.phrase,
        score=box.score,
        at=[round(share, 2) for share in at],
        size="small" if area < SMALL_AREA else "medium" if area < MEDIUM_AREA else "large",
    )


def source_of(locator: str, source_uri: str) -> str:
    """Where a sample is from, as a reader would sort by it: the host of a url, the file or list it stood in, or the
    folder of its picture."""
    if locator.startswith(("http://", "https://")):
        try:
            return urlsplit(locator).hostname or "unknown host"
        except ValueError:
            return "unknown host"
    return locator.partition("#")[0] if "#" in locator else locator.rpartition("/")[0] or source_uri or "unknown"


def caption_parts(labels: SampleLabels, found: set[int], max_chars: int = MAX_CAPTION_CHARS) -> Iterator[CaptionPart]:
    """The caption cut at its phrases; where phrases overlap, one that has a box (``found``) wins, then the first.

    A long caption ends in an ellipsis after ``max_chars`` characters.
    """
    order = sorted(range(len(labels.phrases)), key=lambda n: (n not in found, labels.phrases[n].start))
    shown, taken = list[int](), bytearray(max_chars)
    for number in order:
        phrase = labels.phrases[number]
        if phrase.end <= max_chars and not any(taken[phrase.start : phrase.end]):
            taken[phrase.start : phrase.end] = b"\1" * (phrase.end - phrase.start)
            shown.append(number)
    at = 0
    for number in sorted(shown, key=lambda n: labels.phrases[n].start):
        phrase = labels.phrases[number]
        if at < phrase.start:
            yield labels.caption[at : phrase.start], None
        yield phrase.text, number
        at = phrase.end
    rest = labels.caption[at:max_chars]
    yield rest + ("…" if len(labels.caption) > max_chars else ""), None


def card_record(picture: Picture, counts: Mapping[str, PhraseCount] | None = None, *, scored: bool) -> dict[str, Any]:
    """What ``templates/card.js`` makes a card of, as JSON.

    ``caption`` has ``[text]``, ``[text, place]`` of a phrase with a box, ``[text, -1]`` of one without; ``place`` is
    that in ``phrases``. ``scored``: whether scores are shown, which human boxes do not have.
    """
    places = {number: place for place, number in enumerate(picture.phrases)}
    return {
        "key": picture.key,
        "source": picture.source,
        "width": picture.width,
        "height": picture.height,
        "scored": scored,
        "caption": [
            [text] if phrase is None else [text, places.get(phrase, -1)] for text, phrase in picture.caption if text
        ],
        "phrases": [_phrase_record(text, counts) for text in picture.phrases.values()],
        "boxes": [_box_record(box, places) for box in picture.boxes],
        "more": picture.boxes_left_out,
    }


def _phrase_record(text: str, counts: Mapping[str, PhraseCount] | None) -> dict[str, Any]:
    """A phrase; how often it occurs with a box in the whole dataset and whether humans name it, where that is known."""
    record: dict[str, Any] = {"text": text[:MAX_PHRASE_CHARS]}
    known = (counts or {}).get(text)
    if known is not None:
        record["occurrences"] = known.occurrences
        if known.new is not None:
            record["new"] = known.new
    return record


def _box_record(box: DrawnBox, places: Mapping[int, int]) -> dict[str, Any]:
    return {
        "number": box.number,
        "phrase": places[box.phrase],
        "score": round(box.score, 4),
        "at": box.at,
        "size": box.size,
    }
