"""Drawn boxes: where the pixels are, and that labels can be read."""

from __future__ import annotations

import itertools

import numpy as np
from PIL import Image, ImageColor

from pipelines.pictures.draw import COLOURS, READABLE_SIDE, LabelledBox, draw_boxes

GREY = (120, 120, 120)


def colour(number: int) -> tuple[int, ...]:
    return ImageColor.getrgb(COLOURS[number])


def test_a_box_is_drawn_at_its_corners_in_the_colour_of_its_phrase() -> None:
    picture = Image.new("RGB", (800, 600), GREY)
    drawn = draw_boxes(picture, [LabelledBox((200, 250, 500, 450), "a red car 0.91", 1)])
    assert drawn.size == picture.size
    assert picture.getpixel((200, 300)) == GREY, "the picture itself stays as it was"
    for corner in ((200, 300), (500, 300), (350, 450)):
        assert drawn.getpixel(corner) == colour(1)
    for outside in ((190, 300), (510, 300), (350, 460), (350, 350)):
        assert drawn.getpixel(outside) == GREY


def test_a_small_picture_is_enlarged_so_that_labels_can_be_read() -> None:
    drawn = draw_boxes(Image.new("RGB", (160, 120), GREY), [LabelledBox((40, 50, 100, 100), "a dog 0.50", 0)])
    assert drawn.size == (160 * 6, 120 * 6)
    assert drawn.getpixel((40 * 6, 75 * 6)) == colour(0)
    assert max(draw_boxes(Image.new("L", (1, 1)), []).size) == READABLE_SIDE


def test_labels_stay_inside_and_do_not_cover_each_other() -> None:
    boxes = [LabelledBox((700, 2, 798, 40), f"phrase number {number} 0.50", number) for number in range(4)]
    drawn = np.asarray(draw_boxes(Image.new("RGB", (800, 600), GREY), boxes))
    areas = [int((drawn == colour(number)).all(axis=2).sum()) for number in range(4)]
    # The boxes lie on top of each other and only the first one's frame shows; each label has its whole ground.
    for one, other in itertools.pairwise(areas[1:]):
        assert one > 1000
        assert abs(one - other) < 0.2 * one


def test_a_box_of_any_corners_and_a_text_of_any_length_are_drawn() -> None:
    boxes = [
        LabelledBox((0, 0, 0, 0), "x" * 500, 17),
        LabelledBox((0, 0, 799.9, 599.9), "", 0),
        LabelledBox((799, 599, 800, 600), "a\nb", 3),
    ]
    assert draw_boxes(Image.new("RGBA", (800, 600)), boxes).mode == "RGB"


def test_no_boxes_give_the_picture() -> None:
    picture = Image.new("RGB", (800, 600), GREY)
    assert draw_boxes(picture, []).tobytes() == picture.tobytes()
