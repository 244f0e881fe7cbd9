"""Photos that EXIF turns are shown upright wherever people see them, and what they draw is kept in stored pixels."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from report_datasets import sample, write_dataset
from review_clients import Client, talk
from turned_photos import stored_as

from engine.artifacts import Store
from engine.metrics.judged_boxes import JudgedBox
from engine.review.verdicts import read_verdicts
from engine.shards import LabelledImage
from pipelines.ground import GroundedImage
from pipelines.pages.gallery import gallery
from pipelines.pages.mistakes import drawn
from pipelines.pages.picture_cards import card_record
from pipelines.pictures.draw import COLOURS
from pipelines.pictures.upright import Turn
from schemas.orientation import Box, box_as_stored, turned_size
from schemas.records import Candidate, Phrase

SIZE = (160, 120)  # of the photo as it is seen
LAMP: Box = (100.5, 10.25, 140.5, 30.75)  # what is bright in it, and has the box; (x, y) of no symmetry
CORRECTED: Box = (98.13, 9.5, 141.0, 32.07)

every_orientation = pytest.mark.parametrize("orientation", range(1, 9))


def photo() -> Image.Image:
    seen = Image.new("RGB", SIZE, "black")
    seen.paste((255, 255, 255), (100, 10, 141, 31))
    return seen


def as_stored(box: Box, orientation: int) -> Box:
    return box_as_stored(box, orientation, *turned_size(SIZE, orientation))


def turned(orientation: int) -> LabelledImage:
    """The photo as a camera that is held so stores it, with its box in the pixels of the file."""
    size, box = turned_size(SIZE, orientation), as_stored(LAMP, orientation)
    return sample("turned", "a lamp", [(0, 6)], [(0, box, 0.9)], stored_as(photo(), orientation), size=size)


def bright_box(picture: Image.Image) -> tuple[int, int, int, int]:
    found = picture.convert("L").point(lambda level: 255 * (level > 128)).getbbox()
    assert found is not None
    return found


def plain(jpeg: bytes) -> Image.Image:
    """A picture that no reader turns any further."""
    shown = Image.open(io.BytesIO(jpeg))
    assert ImageOps.exif_transpose(shown).tobytes() == shown.tobytes()
    return shown


@every_orientation
def test_a_card_of_the_gallery_is_upright_with_its_boxes(tmp_path: Path, orientation: int) -> None:
    [card] = gallery(write_dataset(tmp_path / "lamps", [turned(orientation)]), None, limit=1).pictures
    assert plain(base64.b64decode(card.jpeg)).size == (card.width, card.height) == SIZE
    x, y, width, height = card_record(card, scored=True)["boxes"][0]["at"]
    corners = (x * 1.6, y * 1.2, (x + width) * 1.6, (y + height) * 1.2)
    assert corners == pytest.approx(bright_box(plain(base64.b64decode(card.jpeg))), abs=0.9)


@every_orientation
def test_the_review_is_upright_and_its_verdicts_are_of_the_stored_pixels(tmp_path: Path, orientation: int) -> None:
    labelled = turned(orientation)
    folder = write_dataset(tmp_path / "lamps", [labelled])

    async def review(client: Client) -> None:
        found = await client.json("/api/sample", key="turned")
        assert ((found["width"], found["height"]), found["boxes"][0]["box"]) == (SIZE, list(LAMP))
        _, jpeg = await client.get("/api/picture?key=turned&size=large")
        assert bright_box(plain(jpeg)) == pytest.approx(LAMP, abs=0.9)
        said = {"phrase": 0, "target": found["boxes"][0]["target"], "verdict": "corrected", "drawn": CORRECTED}
        added = {"phrase": 0, "target": (1, 2, 30, 40), "verdict": "added", "drawn": (1, 2, 30, 40)}
        status, shown = await client.judge("turned", said, added)
        assert (status, [box["box"] for box in shown["boxes"]]) == (200, [list(CORRECTED), [1, 2, 30, 40]])
        status, shown = await client.judge("turned", {**said, "target": shown["boxes"][0]["target"]})
        assert (status, [box["verdict"] for box in shown["boxes"]]) == (200, ["corrected", "added"])
        beyond = {**added, "target": (0, 0, SIZE[0] + 1, 9), "drawn": (0, 0, SIZE[0] + 1, 9)}
        assert (await client.judge("turned", beyond))[0] == 400

    talk(folder, review)
    added, corrected = read_verdicts(Store(folder)).of(labelled.labels)
    assert corrected.box_xyxy == labelled.labels.boxes[0].box_xyxy
    assert corrected.drawn_xyxy == pytest.approx(as_stored(CORRECTED, orientation))
    assert corrected.score == 0.9
    assert added.drawn_xyxy == as_stored((1, 2, 30, 40), orientation)


def framed(picture: Image.Image, colour: int) -> np.ndarray[Any, Any]:
    """Where the frame of a box is, as a box in shares of the picture."""
    hexes = COLOURS[colour].lstrip("#")
    wanted = [int(hexes[at : at + 2], 16) for at in (0, 2, 4)]
    ys, xs = np.nonzero((np.abs(np.asarray(picture.convert("RGB")).astype(int) - wanted) < 40).all(axis=2))
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / [*picture.size, *picture.size]


@every_orientation
def test_the_worst_mistakes_are_upright_with_both_boxes(tmp_path: Path, orientation: int) -> None:
    folder = write_dataset(tmp_path / "lamps", [turned(orientation)])
    answer: Box = (10, 60, 60, 110)
    judged = JudgedBox("turned", 0, "a lamp", 1, 0.9, as_stored(answer, orientation), 0.0, "background")
    [mistake] = drawn(Store(folder), [judged])
    picture = plain(base64.b64decode(mistake.jpeg))
    assert picture.width > picture.height
    shares = np.array([*SIZE, *SIZE])
    red, blue = framed(picture, 1), framed(picture, 0)
    assert red[[0, 3]] == pytest.approx((np.array(answer) / shares)[[0, 3]], abs=0.02), "its label stands above"
    assert blue[[2, 3]] == pytest.approx((np.array(LAMP) / shares)[[2, 3]], abs=0.15)


@every_orientation
@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_grounded_photo_is_drawn_upright_and_its_numbers_are_as_stored(
    tmp_path: Path, orientation: int, ending: str
) -> None:
    stored = turned(orientation)
    box = as_stored(LAMP, orientation)
    found = GroundedImage(stored.image, "a lamp", (Phrase("a lamp", 0, 6, "lamp"),), (Candidate(0, box, 0.9),), (), 0.5)
    with Image.open(found.save(tmp_path / f"drawn.{ending}")) as drawing:
        assert drawing.getexif().get(0x0112, 1) == 1
        assert drawing.width / drawing.height == pytest.approx(160 / 120)
        frame = framed(drawing, 0) * [*SIZE, *SIZE]
    assert frame[[0, 3]] == pytest.approx(np.array(LAMP)[[0, 3]], abs=1.5)
    assert found.plain()["boxes"][0]["box_xyxy"] == list(box)
    assert ("pixels as stored" in str(found)) is (orientation != 1)


@every_orientation
def test_labels_that_are_turned_hold_and_lead_back(orientation: int) -> None:
    stored = turned(orientation).labels
    turn = Turn(orientation, stored.width, stored.height)
    seen = turn.labels(stored)
    seen.check_spans_and_boxes()
    assert seen.boxes[0].box_xyxy == LAMP
    assert turn.stored_box(LAMP) == stored.boxes[0].box_xyxy
