"""A bounded sample of labelled pictures for the report: thumbnails with their boxes and captions.

In: a dataset and a selection. Out: at most ``limit`` pictures, taken at even spaces through the dataset (never by how
good they look), each no larger than a thumbnail however large the stored image is.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from engine.artifacts import Store
from engine.duplicates import Duplicates, read_duplicates
from engine.selection import Selection, resolve_selection, select
from engine.shards import LabelledImage, ShardReader, committed_units, read_card, read_manifest
from engine.statistics import chosen_selection
from schemas.recipes import SelectionChoice
from schemas.shards import SampleLabels

MAX_SIDE = 560
JPEG_QUALITY = 82
MAX_PIXELS = 100_000_000
MAX_BOXES = 60
MAX_CAPTION_CHARS = 500
COLOURS = 8
# Rows looked at, from each of the even spaces on, for a picture that the selection keeps a box of.
MAX_TRIES = 20


@dataclass(frozen=True)
class CaptionPart:
    """A stretch of the caption: plain (``phrase`` None), or a phrase with its colour; ``found`` when it has a box."""

    text: str
    phrase: int | None = None
    colour: int = 0
    found: bool = False


@dataclass(frozen=True)
class DrawnBox:
    """A box as shares of the image in percent, with the number and the colour of its phrase."""

    phrase: int
    colour: int
    text: str
    score: float
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Picture:
    """One card of the gallery. ``jpeg`` is base64; ``width`` and ``height`` are of the stored image, in pixels."""

    key: str
    jpeg: str
    width: int
    height: int
    caption: tuple[CaptionPart, ...]
    boxes: tuple[DrawnBox, ...]
    boxes_left_out: int


@dataclass(frozen=True)
class Gallery:
    """The pictures, and how many the dataset has."""

    pictures: tuple[Picture, ...]
    samples: int


def gallery(dataset: str | Path, selection: SelectionChoice | None, *, limit: int) -> Gallery:
    """At most ``limit`` pictures of a dataset, in its order, under a selection (its card's own where None)."""
    store = Store(dataset)
    chosen = chosen_selection(read_card(store), selection)
    rules = None if chosen is None else resolve_selection(chosen)
    manifests = [manifest for unit in committed_units(store) if (manifest := read_manifest(store, unit))]
    sizes = {manifest.unit: manifest.samples for manifest in manifests}
    duplicates = Duplicates() if rules is None else read_duplicates(store, manifests)
    total = sum(sizes.values())
    starts = sorted({total * number // limit for number in range(limit)}) if total else []
    pictures = []
    for start, end in zip(starts, [*starts[1:], total], strict=True):
        rows = range(start, min(end, start + MAX_TRIES))
        picture = _first_picture(_samples(store, sizes, rows, duplicates), rules)
        if picture is not None:
            pictures.append(picture)
    return Gallery(tuple(pictures), total)


def _first_picture(samples: Iterator[LabelledImage], selection: Selection | None) -> Picture | None:
    for sample in samples:
        selected = select(sample.labels, selection) if selection is not None else sample.labels
        if not selected.boxes:
            continue
        jpeg = thumbnail(sample.image, selected.width * selected.height)
        if jpeg is not None:
            return draw(selected, jpeg)
    return None


def _samples(store: Store, sizes: dict[int, int], rows: range, duplicates: Duplicates) -> Iterator[LabelledImage]:
    """Samples by their number in the whole dataset, without its duplicates."""
    first = 0
    for unit, size in sizes.items():
        wanted = range(max(rows.start, first), min(rows.stop, first + size))
        if wanted:
            reader = ShardReader(store, unit)
            try:
                for row in wanted:
                    if row - first not in duplicates.of(unit):
                        yield reader[row - first]
            finally:
                reader.close()
        first += size


def thumbnail(image: bytes, pixels: int) -> str | None:
    """A small JPEG of an encoded image in base64, without its metadata; None where it cannot be decoded or is huge.

    EXIF orientation is not applied, since boxes are in pixels of the image as stored.
    """
    if pixels > MAX_PIXELS:
        return None
    try:
        with Image.open(io.BytesIO(image)) as stored:
            if stored.width * stored.height > MAX_PIXELS:
                return None
            stored.draft("RGB", (MAX_SIDE, MAX_SIDE))
            small = stored.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def draw(labels: SampleLabels, jpeg: str) -> Picture:
    """A card for a sample: colours go by phrase, in the order of the caption; the best boxes first, to a bound."""
    best = sorted(labels.boxes, key=lambda box: -box.score)[:MAX_BOXES]
    in_order = sorted({box.phrase for box in best}, key=lambda number: labels.phrases[number].start)
    colours = {phrase: position % COLOURS for position, phrase in enumerate(in_order)}
    boxes = []
    for box in best:
        x1, y1, x2, y2 = box.box_xyxy
        boxes.append(
            DrawnBox(
                phrase=box.phrase,
                colour=colours[box.phrase],
                text=labels.phrases[box.phrase].text,
                score=box.score,
                left=round(100 * x1 / labels.width, 2),
                top=round(100 * y1 / labels.height, 2),
                width=round(100 * (x2 - x1) / labels.width, 2),
                height=round(100 * (y2 - y1) / labels.height, 2),
            )
        )
    boxes.sort(key=lambda box: -box.width * box.height)  # small ones are drawn last and stay on top
    return Picture(
        key=labels.key,
        jpeg=jpeg,
        width=labels.width,
        height=labels.height,
        caption=tuple(caption_parts(labels, colours)),
        boxes=tuple(boxes),
        boxes_left_out=len(labels.boxes) - len(best),
    )


def caption_parts(labels: SampleLabels, colours: dict[int, int]) -> Iterator[CaptionPart]:
    """The caption cut at its phrases; where phrases overlap, one that has a box wins, then the first.

    A long caption ends in an ellipsis after ``MAX_CAPTION_CHARS`` characters.
    """
    order = sorted(range(len(labels.phrases)), key=lambda n: (n not in colours, labels.phrases[n].start))
    shown: list[int] = []
    for number in order:
        phrase = labels.phrases[number]
        taken = (labels.phrases[other] for other in shown)
        if phrase.end <= MAX_CAPTION_CHARS and all(phrase.end <= one.start or one.end <= phrase.start for one in taken):
            shown.append(number)
    at = 0
    for number in sorted(shown, key=lambda n: labels.phrases[n].start):
        phrase = labels.phrases[number]
        if at < phrase.start:
            yield CaptionPart(labels.caption[at : phrase.start])
        yield CaptionPart(phrase.text, number, colours.get(number, 0), number in colours)
        at = phrase.end
    rest = labels.caption[at : max(at, MAX_CAPTION_CHARS)]
    yield CaptionPart(rest + ("…" if len(labels.caption) > max(at, MAX_CAPTION_CHARS) else ""))
