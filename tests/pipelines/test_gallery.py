"""The report's gallery is a bounded sample drawn by a seed, and its cards lose nothing of captions and boxes."""

from __future__ import annotations

import base64
import io
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hostile_pictures import png_bomb
from pictures import saved
from PIL import Image
from report_datasets import dog, encoded, sample, write_dataset

from engine.shards import LabelledImage
from pipelines.pages.gallery import MAX_UNITS, gallery, sample_places
from pipelines.pages.picture_cards import (
    MAX_CAPTION_CHARS,
    MAX_SIDE,
    CaptionPart,
    caption_parts,
    card_record,
    draw,
    source_of,
    thumbnail,
)
from schemas.dataset_vocabulary import PhraseCount
from schemas.records import BoxXYXY


def dogs(count: int, size: tuple[int, int] = (160, 120)) -> list[LabelledImage]:
    return [sample(f"{n:03d}", "a dog", [(0, 5)], [(0, (0, 0, 9, 9), 0.9)], encoded(size)) for n in range(count)]


def test_pictures_are_taken_at_even_spaces_and_bounded(tmp_path: Path) -> None:
    shown = gallery(write_dataset(tmp_path / "dogs", dogs(40, (1600, 1200))), "glip", limit=8)
    assert shown.samples == 40
    keys = [int(picture.key) for picture in shown.pictures]
    assert {after - before for before, after in pairwise(keys)} == {5}
    with Image.open(io.BytesIO(base64.b64decode(shown.pictures[0].jpeg))) as small:
        assert max(small.size) == MAX_SIDE


def test_the_sample_is_of_its_seed(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dogs", dogs(60), units=3)
    keys = [[one.key for one in gallery(folder, None, limit=6, seed=seed).pictures] for seed in (1, 1, 2)]
    assert keys[0] == keys[1] != keys[2]


def test_every_sample_is_as_probable_as_any_other_and_few_units_are_read() -> None:
    sizes, drawn = [10, 0, 30, 60] * 40, Counter[int]()
    for seed in range(400):
        places = sample_places(sizes, 100, seed)
        assert len(places) <= MAX_UNITS
        assert sum(len(rows) for rows in places.values()) == 100
        for unit, rows in places.items():
            assert [row for one in rows for row in one] == sorted({row for one in rows for row in one})
            assert all(one.stop <= sizes[unit] for one in rows)
            drawn[unit % 4] += len(rows)
    assert drawn[1] == 0
    assert [drawn[kind] / drawn.total() for kind in (0, 2, 3)] == pytest.approx([0.1, 0.3, 0.6], abs=0.01)


def test_thumbnails_stop_at_their_bytes_wherever_they_stand(tmp_path: Path) -> None:
    noise = [sample(f"{n:03d}", "a dog", [(0, 5)], [(0, (0, 0, 9, 9), 0.9)], noisy(n)) for n in range(20)]
    folder = write_dataset(tmp_path / "noise", noise)
    everything = gallery(folder, None, limit=20)
    one = len(everything.pictures[0].jpeg)
    shown = gallery(folder, None, limit=20, max_bytes=int(5.5 * one))
    keys = [int(picture.key) for picture in shown.pictures]
    assert len(keys) == 5
    assert keys == sorted(keys)
    assert keys != list(range(5)), "what is left out is no part of the dataset"


def noisy(seed: int) -> bytes:
    return saved(Image.frombytes("RGB", (160, 120), random.Random(seed).randbytes(160 * 120 * 3)), "JPEG")


def test_a_broken_shard_is_told_of_and_the_others_are_shown(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dogs", dogs(30), units=3)
    (folder / "shards" / "000001.tar").write_bytes(b"no tar" * 200)
    (folder / "shards" / "000002.tar").unlink()
    shown = gallery(folder, None, limit=9)
    assert {int(one.key) // 10 for one in shown.pictures} == {0}
    assert len(shown.problems) == 2


def test_an_empty_dataset_has_no_picture(tmp_path: Path) -> None:
    assert gallery(write_dataset(tmp_path / "none", []), None, limit=8).pictures == ()
    assert sample_places([], 8, 0) == {}


def test_a_picture_without_selected_box_gives_its_place_to_the_next(tmp_path: Path) -> None:
    low = sample("000", "a dog", [(0, 5)], [(0, (0, 0, 9, 9), 0.1)])
    broken = sample("001", "a dog", [(0, 5)], [(0, (0, 0, 9, 9), 0.9)], b"no picture")
    shown = gallery(write_dataset(tmp_path / "dogs", [low, broken, dog(2)]), "glip", limit=1)
    assert [picture.key for picture in shown.pictures] == ["002"]


def test_a_huge_or_broken_picture_gives_no_thumbnail() -> None:
    assert thumbnail(b"") is None
    assert thumbnail(png_bomb(20_000)) is None
    assert thumbnail(encoded()[:300]) is None


def parts_of(caption: str, spans: list[tuple[int, int]], with_box: list[int]) -> list[CaptionPart]:
    labels = sample("k", caption, spans, [(n, (0, 0, 9, 9), 0.9) for n in with_box]).labels
    return [part for part in caption_parts(labels, set(with_box)) if part[0]]


def test_a_caption_is_cut_at_its_phrases_and_loses_no_character() -> None:
    caption = "🐶 a dog, a cat."
    parts = parts_of(caption, [(2, 7), (9, 14)], [1])
    assert parts == [("🐶 ", None), ("a dog", 0), (", ", None), ("a cat", 1), (".", None)]
    assert "".join(text for text, _ in parts) == caption


def test_of_overlapping_phrases_the_one_with_a_box_is_marked() -> None:
    parts = parts_of("a dog in a field", [(0, 16), (0, 5), (9, 16)], [1])
    assert parts == [("a dog", 1), (" in ", None), ("a field", 2)]


def test_a_long_caption_is_shortened() -> None:
    shown = "".join(text for text, _ in parts_of("word " * 1000, [(0, 4)], [0]))
    assert len(shown) == MAX_CAPTION_CHARS + 1
    assert shown.endswith("…")


def test_the_best_boxes_are_kept_and_small_ones_are_drawn_last() -> None:
    boxes: list[tuple[int, BoxXYXY, float]] = [
        (n % 2, (n, n, n + 10 + n % 7, n + 10), 0.3 + n / 200) for n in range(80)
    ]
    picture = draw(sample("k", "a dog, a cat", [(0, 5), (7, 12)], boxes).labels, "")
    assert len(picture.boxes) == 60
    assert picture.boxes_left_out == 20
    assert min(box.score for box in picture.boxes) == pytest.approx(0.4)
    areas = [box.at[2] * box.at[3] for box in picture.boxes]
    assert areas == sorted(areas, reverse=True)


def test_a_card_numbers_its_phrases_in_the_order_of_the_caption() -> None:
    labels = sample("k", "a cat, A dog", [(0, 5), (7, 12)], [(1, (0, 0, 40, 40), 0.9)]).labels
    counts = {"A dog": PhraseCount(text="a dog", occurrences=3, images=2, boxes=4, new=True)}
    record = card_record(draw(labels, ""), counts, scored=True)
    assert record["phrases"] == [{"text": "A dog", "occurrences": 3, "new": True}]
    assert record["caption"] == [["a cat", -1], [", "], ["A dog", 0]]
    assert record["boxes"] == [{"number": 0, "phrase": 0, "score": 0.9, "at": [0, 0, 25, 33.33], "size": "medium"}]


@pytest.mark.parametrize(
    ("locator", "source"),
    [
        ("https://Images.example.org/a.jpg", "images.example.org"),
        ("http://[broken", "unknown host"),
        ("00012.tar#000000004", "00012.tar"),
        ("trips/2019/0001.jpg", "trips/2019"),
        ("0001.jpg", "captions.json"),
    ],
)
def test_a_source_is_a_host_or_the_file_or_folder_of_the_sample(locator: str, source: str) -> None:
    assert source_of(locator, "captions.json") == source
