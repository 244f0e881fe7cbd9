"""Views of a picture: boxes stay on what they name, sizes fit, sides are not swapped behind a caption's back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from student.augment import (
    Augmentation,
    CropView,
    FloatArray,
    StepShape,
    draw_step_shape,
    draw_view,
    jitter_colors,
    render,
    view_boxes,
    without_last_pixel,
)

JITTER = Augmentation(min_sizes=(64, 96), max_size=160, scale_jitter=(0.5, 2.0))
PLAIN = Augmentation(min_sizes=(64,), max_size=100, flip=False)


def _picture_with_square(size_hw: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGB", (size_hw[1], size_hw[0]))
    image.paste((255, 255, 255), box)
    return image


@given(st.integers(0, 10_000))
def test_a_box_stays_on_the_thing_it_was_drawn_around(seed: int) -> None:
    random = np.random.default_rng(seed)
    box = (40, 30, 110, 90)
    shape = draw_step_shape(JITTER, random)
    view = draw_view((120, 160), "a square", JITTER, shape, random)
    boxes, kept = view_boxes(np.array([box], dtype=np.float32), view)
    seen = np.asarray(render(_picture_with_square((120, 160), box), view).convert("L")) > 127
    if len(kept) == 0:
        assert seen.mean() < 0.6
        return
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(boxes[0], found, atol=1.5)


@given(st.integers(0, 10_000), st.integers(20, 300), st.integers(20, 300))
def test_a_jittered_view_fits_the_canvas_of_its_step_and_shows_a_part_of_the_picture(
    seed: int, height: int, width: int
) -> None:
    random = np.random.default_rng(seed)
    shape = draw_step_shape(JITTER, random)
    view = draw_view((height, width), "", JITTER, shape, random)
    assert shape.canvas_hw is not None
    assert 1 <= view.size_hw[0] <= shape.canvas_hw[0]
    assert 1 <= view.size_hw[1] <= shape.canvas_hw[1]
    x1, y1, x2, y2 = view.source_xyxy
    assert 0 <= x1 < x2 <= width + 1e-6
    assert 0 <= y1 < y2 <= height + 1e-6
    assert shape.canvas_hw[0] % 32 == shape.canvas_hw[1] % 32 == 0


def test_factors_are_drawn_evenly_in_their_logarithm_so_that_halves_come_as_often_as_doubles() -> None:
    jitter, shape = Augmentation(min_sizes=(64,), max_size=64, scale_jitter=(0.25, 1.0)), StepShape(64, (64, 64))
    random = np.random.default_rng(0)
    seen = [draw_view((1000, 1000), "", jitter, shape, random).size_hw[0] for _ in range(400)]
    assert 16 <= min(seen) < max(seen) <= 64
    assert 160 < sum(side < 32 for side in seen) < 240, "32 of 64 is the middle between a quarter and one"


def test_canvases_lie_more_often_than_they_stand_and_end_at_the_largest_size() -> None:
    random, wide = np.random.default_rng(0), Augmentation(min_sizes=(96,), max_size=112, scale_jitter=(0.5, 2.0))
    canvases = [draw_step_shape(wide, random).canvas_hw for _ in range(200)]
    assert set(canvases) == {(96, 112), (112, 96)}
    assert 0.5 < canvases.count((96, 112)) / 200 < 0.8, "two thirds, as photographs do"
    free = Augmentation(min_sizes=(96,), max_size=1000, scale_jitter=(0.5, 2.0))
    sides = {draw_step_shape(free, random).canvas_hw for _ in range(200)}
    assert sides == {(96, 128), (128, 96)}, "four by three"
    between = Augmentation(min_sizes=(112,), max_size=1000, scale_jitter=(0.5, 2.0))
    sides = {draw_step_shape(between, random).canvas_hw for _ in range(200)}
    assert sides == {(112, 160), (160, 112)}, "or the nearest that is a multiple of 32"


def test_crops_are_taken_from_everywhere() -> None:
    jitter, random = Augmentation(min_sizes=(64,), max_size=64, scale_jitter=(2.0, 2.0)), np.random.default_rng(0)
    views = [draw_view((100, 100), "", jitter, StepShape(64, (64, 64)), random).source_xyxy for _ in range(200)]
    assert all((view[2] - view[0], view[3] - view[1]) == pytest.approx((50, 50)) for view in views), "half of each side"
    for starts in ([view[0] for view in views], [view[1] for view in views]):
        assert min(starts) < 5
        assert max(starts) > 45
        assert 20 < np.mean(starts) < 30


def test_a_picture_made_smaller_is_averaged_and_not_picked_from() -> None:
    lines = np.zeros((40, 40, 3), dtype=np.uint8)
    lines[:, ::2] = 200
    seen = np.asarray(render(Image.fromarray(lines), CropView((0.0, 0.0, 40.0, 40.0), (10, 10), flip=False)))
    assert np.abs(seen.astype(int) - 100).max() < 30


def test_without_jitter_the_whole_picture_is_seen_at_the_size_of_the_specification() -> None:
    view = draw_view((50, 100), "", PLAIN, StepShape(64, None), np.random.default_rng(0))
    assert view == CropView((0.0, 0.0, 100.0, 50.0), (50, 100), flip=False)


SIDES = [
    "a dog left of a cat",
    "The RIGHT shoe",
    "the leftmost cup",
    "a left-hand drive",
    "his left_shoe",
    "left, a tree",
]
SIDES += [
    "a righthanded batter",
    "looking leftwards",
    "right-most seat",
    "on the man's right.",
    "a lefty",
    "two lefties",
    "the right's",
    "left-handed scissors",
    "a lefthanded pitcher",
    "the rightside mirror",
    "one step leftward",
    "the righter of the two",
    "top_left corner",
]


@pytest.mark.parametrize("caption", [*SIDES, "a clock that runs counterclockwise"])
def test_a_picture_whose_caption_names_a_side_is_never_mirrored(caption: str) -> None:
    augmentation = Augmentation(min_sizes=(64,), max_size=100)
    views = [
        draw_view((50, 60), caption, augmentation, StepShape(64, None), np.random.default_rng(i)) for i in range(30)
    ]
    assert not any(view.flip for view in views)


def test_half_of_the_other_pictures_are_mirrored() -> None:
    augmentation = Augmentation(min_sizes=(64,), max_size=100)
    random = np.random.default_rng(0)
    caption = "bright lights, an upright piano and leftover cake at a copyright office"
    flips = [draw_view((50, 60), caption, augmentation, StepShape(64, None), random).flip for _ in range(400)]
    assert 160 < sum(flips) < 240


def test_mirroring_twice_gives_the_boxes_back() -> None:
    boxes = np.array([[10, 5, 40, 30]], dtype=np.float32)
    view = CropView((0.0, 0.0, 100.0, 50.0), (50, 100), flip=True)
    once, _ = view_boxes(boxes, view)
    assert once.tolist() == [[60, 5, 90, 30]]
    assert view_boxes(once, view)[0].tolist() == boxes.tolist()


def test_boxes_that_are_mostly_cut_off_or_too_thin_are_dropped_and_the_others_clipped() -> None:
    boxes = np.array([[0, 0, 20, 20], [90, 90, 100, 100], [30, 30, 130, 80], [40, 40, 41, 80]], dtype=np.float32)
    kept_boxes, kept = view_boxes(boxes, CropView((0.0, 0.0, 95.0, 95.0), (95, 95), flip=False))
    assert kept.tolist() == [0, 2]
    assert kept_boxes[1].tolist() == [30, 30, 95, 80]


def test_a_box_is_kept_from_three_tenths_of_its_area_and_from_two_pixels_on() -> None:
    view = CropView((0.0, 0.0, 100.0, 100.0), (100, 100), flip=False)
    seen_tenths = [(100 - tenths, 0, 110 - tenths, 50) for tenths in (2, 3, 4)]
    assert view_boxes(np.array(seen_tenths, dtype=np.float32), view)[1].tolist() == [1, 2]
    thin = [(50, 20, 50 + width, 60) for width in (1.9, 2, 3)]
    flat = [(20, 50, 60, 50 + height) for height in (1.9, 2, 3)]
    assert view_boxes(np.array(thin + flat, dtype=np.float32), view)[1].tolist() == [1, 2, 4, 5]


def test_the_thinnest_picture_is_still_a_pixel_wide() -> None:
    jitter = Augmentation(min_sizes=(64,), max_size=96, scale_jitter=(0.1, 0.1))
    view = draw_view((3000, 10), "", jitter, StepShape(64, (64, 96)), np.random.default_rng(0))
    assert view.size_hw == (30, 1)


def test_a_picture_that_is_smaller_than_its_canvas_has_the_nearest_size() -> None:
    jitter = Augmentation(min_sizes=(64,), max_size=96, scale_jitter=(0.56, 0.56))
    view = draw_view((100, 100), "", jitter, StepShape(64, (64, 96)), np.random.default_rng(0))
    assert view.size_hw == (36, 36), "of 35.84"


def test_no_boxes_give_no_boxes() -> None:
    boxes, kept = view_boxes(np.zeros((0, 4), dtype=np.float32), CropView((0.0, 0.0, 9.0, 9.0), (9, 9), flip=True))
    assert boxes.shape == (0, 4)
    assert len(kept) == 0


def test_colours_change_within_the_strength_and_not_at_all_without() -> None:
    image = Image.new("RGB", (4, 4), (100, 150, 200))
    assert jitter_colors(image, 0.0, np.random.default_rng(0)) is image
    changed = np.asarray(jitter_colors(image, 0.3, np.random.default_rng(0))).astype(int)
    assert np.abs(changed - np.asarray(image).astype(int)).max() > 0
    assert changed.std(axis=(0, 1)).max() == 0


def test_brightness_contrast_and_saturation_go_both_ways_each_by_itself() -> None:
    random, image = np.random.default_rng(0), Image.new("RGB", (4, 4), (50, 75, 100))
    image.paste((20, 30, 40), (0, 0, 2, 4))
    before = _looks(image)
    changes = np.stack([_looks(jitter_colors(image, 0.3, random)) / before for _ in range(80)])
    assert (changes.min(axis=0) < 0.85).all()
    assert (changes.max(axis=0) > 1.15).all()
    assert (np.abs(np.corrcoef(changes.T) - np.eye(3)) < 0.4).all()


def _looks(image: Image.Image) -> FloatArray:
    """How bright a picture is, how far its halves are apart in that, and how blue it is relative to that."""
    pixels, grey = np.asarray(image).astype(np.float32), np.asarray(image.convert("L")).astype(np.float32)
    apart = grey[0, 3] - grey[0, 0]
    return np.array([grey.mean(), apart / grey.mean(), (pixels[0, 3, 2] - pixels[0, 3, 0]) / apart], dtype=np.float32)


@pytest.mark.parametrize("flip", [False, True])
def test_a_box_without_its_last_pixel_ends_one_pixel_of_the_original_earlier(flip: bool) -> None:
    view = CropView((10.0, 0.0, 60.0, 100.0), (300, 100), flip)  # twice as wide, three times as high
    boxes = np.array([[20, 30, 60, 150], [40, 60, 42.5, 63.5]], dtype=np.float32)
    shorter = without_last_pixel(boxes, view)
    assert (boxes - shorter).tolist() == [[0, 0, 2, 3], [0, 0, 0.5, 1.5]], "the least side remains"
    assert without_last_pixel(boxes[:0], view).shape == (0, 4)
