"""The perceptual hash: one picture in other files is near, another picture is not, and nothing hostile gets through."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import saved
from PIL import Image

from engine.filtering.image_hash import ALGORITHM, hash_of_grey, near, perceptual_hash, phash_text, words_of
from engine.sources.scenes import render_scene
from schemas.pictures import MAX_SCANS
from schemas.recipes import DEFAULT_DISTANCE, ScenesSource


def scene(number: int) -> Image.Image:
    return render_scene(number, ScenesSource(count=40, seed=3)).image


def are_near(one: bytes, other: bytes, distance: int = DEFAULT_DISTANCE) -> bool:
    words = words_of([hash_of(one), hash_of(other)])
    return bool(near(words[0], words[1], distance))


def hash_of(content: bytes) -> int:
    found = perceptual_hash(content)
    assert found is not None
    return found


def other_files(image: Image.Image) -> dict[str, bytes]:
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    palette = image.quantize(256)
    return {
        "jpeg 40": saved(image, "JPEG", quality=40),
        "progressive": saved(image, "JPEG", quality=85, progressive=True),
        "png": saved(image, "PNG"),
        "webp": saved(image, "WEBP", quality=60),
        "gif": saved(palette, "GIF"),
        "half": saved(half, "JPEG", quality=80),
        "double": saved(image.resize((2 * image.width, 2 * image.height)), "PNG"),
        "alpha": saved(image.convert("RGBA"), "PNG"),
        "grey": saved(image.convert("L"), "PNG"),
    }


@pytest.mark.parametrize("number", range(4))
def test_a_drawn_picture_is_near_itself_in_other_files_and_sizes(number: int) -> None:
    image = scene(number)
    for name, content in other_files(image).items():
        assert are_near(saved(image, "JPEG", quality=92), content), name


def test_drawn_scenes_are_not_near_each_other() -> None:
    words = words_of(hash_of(saved(scene(number), "PNG")) for number in range(40))
    for number in range(40):
        assert near(words, words[number], DEFAULT_DISTANCE).sum() == 1


@pytest.mark.data
def test_photos_are_near_themselves_and_no_other(data_folder: Path) -> None:
    with tarfile.open(sorted((data_folder / "photos/web").glob("*.tar"))[0]) as tar:
        files = [tar.extractfile(member) for member in tar if member.name.endswith(".jpg")]
        photos = [file.read() for file in files if file is not None]
    words = words_of(hash_of(photo) for photo in photos)
    assert all(near(words, word, DEFAULT_DISTANCE).sum() == 1 for word in words), "100 different photos"
    for photo in photos[:8]:
        for name, content in other_files(Image.open(io.BytesIO(photo)).convert("RGB")).items():
            assert are_near(photo, content), name


@pytest.mark.parametrize(("kind", "factor"), [("<u2", 257), ("<i4", 1000), ("<f4", 0.01)])
def test_a_grey_picture_of_more_bits_is_near_the_same_one_of_eight(kind: str, factor: float) -> None:
    """As mammograms, depth maps and scientific cameras write them."""
    grey = [scene(number).convert("L") for number in (0, 1)]
    deep = [saved(Image.fromarray((np.asarray(one, np.float64) * factor).astype(kind)), "TIFF") for one in grey]
    assert are_near(saved(grey[0], "PNG"), deep[0])
    assert not are_near(deep[0], deep[1])


def test_a_picture_of_floats_that_are_no_numbers_has_no_hash() -> None:
    for value in (np.nan, np.inf, -np.inf, 0.0, 3e38):
        assert perceptual_hash(saved(Image.fromarray(np.full((40, 40), value, np.float32)), "TIFF")) is None


def test_a_smooth_picture_is_known_again_though_most_of_its_frequencies_are_noise(web: Any) -> None:
    for number in range(10):
        smooth = web.jpeg(number, 120, 90)
        small = Image.open(io.BytesIO(smooth)).resize((60, 45))
        assert are_near(smooth, saved(small, "JPEG", quality=50))
        assert not are_near(smooth, web.jpeg(number + 10, 120, 90))


def test_a_mirrored_picture_is_another_one() -> None:
    image = scene(1)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert not are_near(saved(image, "PNG"), saved(mirrored, "PNG"))


@pytest.mark.parametrize("colour", ["white", "black", "red"])
def test_a_blank_picture_has_no_hash_since_all_of_them_look_alike(colour: str) -> None:
    assert perceptual_hash(saved(Image.new("RGB", (90, 60), colour), "JPEG")) is None


def test_the_algorithm_of_this_name_gives_these_bits() -> None:
    """Where they change, so must its name: hashes of datasets are compared with those of years before."""
    y, x = np.mgrid[:32, :32]
    grey = (128 + 60 * np.sin(x / 3) + 50 * np.cos(y / 5 + x / 7)).round()
    assert (ALGORITHM, hash_of_grey(grey)) == ("dct64+64/3", 0xA7B916482C2404810000008000000000)


def test_a_picture_of_a_few_levels_is_blank_too() -> None:
    disc = Image.radial_gradient("L")
    assert perceptual_hash(saved(disc.point([120 + level // 85 for level in range(256)]), "PNG")) is None
    assert perceptual_hash(saved(disc.point([120 + level // 12 for level in range(256)]), "PNG")) is not None


def test_what_cannot_be_decoded_within_bounds_has_no_hash() -> None:
    whole = saved(scene(0), "JPEG")
    assert perceptual_hash(b"") is None
    assert perceptual_hash(b"<svg xmlns='http://www.w3.org/2000/svg'/>") is None
    assert perceptual_hash(whole[:300]) is None
    assert perceptual_hash(whole, max_pixels=100) is None
    assert perceptual_hash(whole + b"\xff\xda" * (MAX_SCANS + 1)) is None


def test_the_text_of_a_hash_is_all_of_its_bits() -> None:
    content = saved(scene(2), "PNG")
    text = phash_text(content)
    assert text is not None
    assert len(text) == 32
    assert int(text, 16) == hash_of(content)
    assert words_of([int(text, 16)]).tolist() == [[int(text[:16], 16), int(text[16:], 16)]]


def test_a_limit_holds_for_both_halves_the_fine_one_twice_as_wide() -> None:
    full = (1 << 128) - 1
    one = words_of([full])[0]
    others = words_of([full ^ 0b111 << 64, full ^ 0b1111 << 64, full ^ 0b111111, full ^ 0b1111111])
    assert near(others, one, 3).tolist() == [True, False, True, False]


def test_pictures_of_which_little_is_known_are_near_only_where_that_is_the_same() -> None:
    """Line charts, pages and things on white differ in few bits because they have few."""
    one = 0xFF << 64
    three, four = one ^ 0b11 << 64 ^ 1 << 90, one ^ 0b11 << 64 ^ 0b11 << 90  # each shares six bits with it
    assert near(words_of([three, four, one]), words_of([one])[0], 6).tolist() == [True, False, True]
    fine = one ^ 0b111 ^ 0b11 << 64
    assert near(words_of([fine]), words_of([one])[0], 6).tolist() == [False], "bits of both halves count"
    everything = words_of([(1 << 128) - 1])[0]
    assert near(everything, everything, 0), "as many as there are"


@pytest.mark.parametrize("turn", [0, 90])
def test_a_picture_in_which_nothing_stands_out_has_no_hash_since_all_of_them_look_alike(turn: int) -> None:
    assert perceptual_hash(saved(Image.linear_gradient("L").rotate(turn))) is None
    assert perceptual_hash(saved(Image.radial_gradient("L").rotate(turn))) is not None


def test_no_hash_gives_an_empty_array_of_two_columns() -> None:
    assert words_of([]).shape == (0, 2)
    assert not near(words_of([]), np.zeros(2, np.uint64), 6).any()
