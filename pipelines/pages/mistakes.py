"""The worst mistakes of an evaluation, with their pictures: where the grounder was sure and wrong, and what it missed.

In: judged boxes of a dataset, and the dataset. Out: a bounded number of :class:`Mistake`, each a picture with the
grounder's box and the human boxes of the same name drawn on it. No picture comes twice in one list, so that one strange
picture is not the whole page.
"""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from engine.artifacts import Store
from engine.metrics.judged import JudgedBox
from engine.shards import ShardReader, committed_units
from pipelines.draw import LabelledBox, draw_boxes
from pipelines.pages.picture_cards import JPEG_QUALITY, MAX_PIXELS
from schemas.shards import SampleLabels

SURE, MISSED = 24, 12
SIDE = 512
MAX_IMAGE_BYTES = 64 << 20
ANSWER, HUMAN = 1, 0  # colours of pipelines.draw: red and blue, which look different to everybody
FONT_SHARE = 1 / 20  # of the long side, since the pictures are shown small


@dataclass(frozen=True)
class Mistake:
    """A judged box that is wrong, its caption, and in base64 a JPEG of the picture with what is wrong drawn on it."""

    judged: JudgedBox
    caption: str
    jpeg: str


def worst(judged: Sequence[JudgedBox], *, sure: int = SURE, missed: int = MISSED) -> tuple[list[JudgedBox], ...]:
    """The wrong boxes of highest score, and the largest human boxes (in their pictures' pixels) that were missed."""
    wrong = sorted((one for one in judged if one.rank and one.verdict != "right"), key=lambda one: -one.score)
    unseen = sorted((one for one in judged if one.verdict == "missed"), key=lambda one: -_area(one))
    return _of_different_pictures(wrong, sure), _of_different_pictures(unseen, missed)


def _area(one: JudgedBox) -> float:
    x1, y1, x2, y2 = one.box_xyxy
    return (x2 - x1) * (y2 - y1)


def _of_different_pictures(ranked: Iterable[JudgedBox], limit: int) -> list[JudgedBox]:
    chosen: dict[str, JudgedBox] = {}
    for one in ranked:
        chosen.setdefault(one.key, one)
        if len(chosen) == limit:
            break
    return list(chosen.values())


def drawn(dataset: Store, chosen: Sequence[JudgedBox]) -> list[Mistake]:
    """The chosen mistakes with their pictures, in order; one whose picture cannot be decoded is left out."""
    by_key = defaultdict(list)
    for one in chosen:
        by_key[one.key].append(one)
    found = {id(mistake.judged): mistake for mistake in _read(dataset, by_key)}
    return [found[id(one)] for one in chosen if id(one) in found]


def _read(dataset: Store, by_key: Mapping[str, Sequence[JudgedBox]]) -> Iterator[Mistake]:
    left = set(by_key)
    for unit in committed_units(dataset):
        if not left:
            return
        with ShardReader(dataset, unit) as reader:
            for key in sorted(left):
                row = reader.row_of(key)
                if row is not None:
                    left.discard(key)
                    yield from _of_picture(reader, row, by_key[key])


def _of_picture(reader: ShardReader, row: int, mistakes: Sequence[JudgedBox]) -> Iterator[Mistake]:
    labels = reader.labels(row)
    if labels.width * labels.height > MAX_PIXELS:
        return
    try:
        with Image.open(io.BytesIO(reader.image(row, MAX_IMAGE_BYTES))) as stored:
            stored.load()
            for one in mistakes:
                yield Mistake(one, labels.caption, _jpeg(stored, one, labels))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return


def _jpeg(stored: Image.Image, one: JudgedBox, labels: SampleLabels) -> str:
    human = [box.box_xyxy for box in labels.boxes if labels.phrases[box.phrase].text == one.name]
    boxes = [LabelledBox(box, one.name, HUMAN) for box in human]
    if one.rank:
        boxes.insert(0, LabelledBox(one.box_xyxy, f"{one.name} {one.score:.2f}", ANSWER))
    picture = draw_boxes(stored, boxes, FONT_SHARE)
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return base64.b64encode(file.getvalue()).decode()
