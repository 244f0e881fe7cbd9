"""The worst mistakes of an evaluation, with their pictures: where the grounder was sure and wrong, and what it missed.

In: judged boxes of a dataset, and the dataset. Out: a bounded number of :class:`Mistake`, each a picture, upright, with
the grounder's box and the human boxes of the same name drawn on it. No picture comes twice in one list, so that one
strange picture is not the whole page.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.artifacts import Store
from engine.metrics.judged_boxes import MISSED as NOT_FOUND
from engine.metrics.judged_boxes import RIGHT, JudgedBox, JudgedBoxes, JudgedPart
from engine.shards import ShardReader, committed_units
from pipelines.pages.picture_cards import jpeg_of
from pipelines.pictures.draw import LabelledBox, draw_boxes
from pipelines.pictures.upright import Turn, upright_picture
from schemas.shards import SampleLabels

SURE, MISSED = 24, 12
SIDE = 512
MAX_IMAGE_BYTES = 64 << 20
ANSWER, HUMAN = 1, 0  # colours of pipelines.pictures.draw: red and blue, which look different to everybody
FONT_SHARE = 1 / 20  # of the long side, since the pictures are shown small


@dataclass(frozen=True)
class Mistake:
    """A judged box that is wrong, its caption, and in base64 a JPEG of the picture with what is wrong drawn on it."""

    judged: JudgedBox
    caption: str
    jpeg: str


def worst(judged: JudgedBoxes, *, sure: int = SURE) -> tuple[list[JudgedBox], ...]:
    """The wrong boxes of highest score, and the largest human boxes (in their pictures' pixels) that were missed."""
    wrong, unseen = [], []
    for part in judged.parts:
        sides = part.boxes_xyxy[:, 2:] - part.boxes_xyxy[:, :2]
        wrong += _of_different_pictures(part, (part.rank > 0) & (part.outcome != RIGHT), part.score, sure)
        unseen += _of_different_pictures(part, part.outcome == NOT_FOUND, sides[:, 0] * sides[:, 1], MISSED)
    return _best(wrong, sure), _best(unseen, MISSED)


def _of_different_pictures(
    part: JudgedPart, chosen: NDArray[np.bool_], merit: NDArray[np.float64], limit: int
) -> list[tuple[float, JudgedBox]]:
    """The box of highest ``merit`` of each picture among the chosen ones, for at most ``limit`` pictures, with its
    merit."""
    rows = np.flatnonzero(chosen)
    best: dict[int, tuple[float, JudgedBox]] = {}
    for row in rows[np.argsort(-merit[rows], kind="stable")].tolist():
        if len(best) == limit:
            break
        if (sample := int(part.sample[row])) not in best:
            best[sample] = (float(merit[row]), part.box(row))
    return list(best.values())


def _best(found: list[tuple[float, JudgedBox]], limit: int) -> list[JudgedBox]:
    """The ``limit`` boxes of highest merit; of equal ones the earlier."""
    return [one for _, one in sorted(found, key=lambda one: -one[0])[:limit]]


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
    try:
        encoded = reader.image(row, MAX_IMAGE_BYTES)
    except ValueError:  # too large to be read for a small picture
        return
    picture, labels = upright_picture(encoded), reader.labels(row)
    if picture is not None:
        turn = Turn.of(encoded, (labels.width, labels.height))
        for one in mistakes:
            yield Mistake(one, labels.caption, _jpeg(picture, one, labels, turn))


def _jpeg(picture: Image.Image, one: JudgedBox, labels: SampleLabels, turn: Turn) -> str:
    human = [box.box_xyxy for box in labels.boxes if labels.phrases[box.phrase].text == one.name]
    boxes = [LabelledBox(turn.box(box), "human", HUMAN) for box in human]  # the name stands below: here it would hide
    if one.rank:
        boxes.insert(0, LabelledBox(turn.box(one.box_xyxy), f"{one.score:.2f}", ANSWER))
    drawn_on = draw_boxes(picture, boxes, FONT_SHARE)
    drawn_on.thumbnail((SIDE, SIDE))
    return base64.b64encode(jpeg_of(drawn_on)).decode()
