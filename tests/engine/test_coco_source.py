"""COCO's captions JSON: one sample a caption or an image, each item checked by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from source_outcomes import read_units

from engine.sources import open_source
from engine.sources.coco import Coco
from schemas.recipes import CocoSource
from schemas.records import CaptionedImage, Reject


def write(web: Any, folder: Path, images: list[Any], annotations: list[Any]) -> Path:
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        (folder / "photos" / f"{number}.jpg").write_bytes(web.jpeg(number))
    (folder / "captions.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


def read_all(folder: Path, unit_size: int = 100, **fields: Any) -> list[CaptionedImage | Reject]:
    source = Coco(CocoSource(uri=str(folder / "captions.json"), images=str(folder / "photos"), **fields))
    return read_units(source, unit_size)


def told(found: list[CaptionedImage | Reject]) -> list[tuple[str, str]]:
    return [(one.key, one.reason if isinstance(one, Reject) else one.caption) for one in found]


IMAGES = [{"id": 7, "file_name": "1.jpg"}, {"id": 8, "file_name": "2.jpg"}, {"id": 9, "file_name": "3.jpg"}]
CAPTIONS = [
    {"id": 1, "image_id": 8, "caption": "A dog."},
    {"id": 2, "image_id": 7, "caption": " A cat \n"},
    {"id": 3, "image_id": 8, "caption": "Two dogs"},
]


@pytest.mark.parametrize("unit_size", [1, 2, 100])
def test_each_caption_is_a_sample_in_the_order_of_the_file(web: Any, tmp_path: Path, unit_size: int) -> None:
    found = read_all(write(web, tmp_path, IMAGES, CAPTIONS), unit_size)
    assert told(found) == [("000000008-1", "A dog."), ("000000007-2", "A cat"), ("000000008-3", "Two dogs")]
    assert [one.image for one in found] == [web.jpeg(2), web.jpeg(1), web.jpeg(2)]
    assert found[0].extension == "jpg"


def test_joined_captions_are_one_sample_an_image(web: Any, tmp_path: Path) -> None:
    found = read_all(write(web, tmp_path, IMAGES, CAPTIONS), captions="joined")
    expected = [("000000007", "A cat"), ("000000008", "A dog. Two dogs."), ("000000009", "caption_missing")]
    assert told(found) == expected


def test_bad_items_are_counted_and_the_rest_is_read(web: Any, tmp_path: Path) -> None:
    images = [*IMAGES, {"id": 10, "file_name": "../photos/1.jpg"}, {"id": "a\\b", "file_name": "1.jpg"}, {"id": 11}, 5]
    bad = [
        {"id": 4, "image_id": 10, "caption": "a way out"},
        {"id": 5, "image_id": 99, "caption": "of nothing"},
        {"id": 6, "image_id": 7},
        {"image_id": 7, "caption": "without id"},
        {"id": True, "image_id": 7, "caption": "no id"},
        "no annotation",
        {"id": 2, "image_id": 7, "caption": "an id again"},
        {"id": 7, "image_id": 9, "caption": "of a file that is not there"},
        {"id": 8, "image_id": "a\\b", "caption": "of an id that is no key"},
        {"id": 9, "image_id": 11, "caption": "of an image without name"},
    ]
    found = read_all(write(web, tmp_path, images, CAPTIONS + bad))
    reasons = [one.reason for one in found if isinstance(one, Reject)]
    assert reasons == [
        *("path_unsafe", "image_undeclared", "caption_missing"),
        *["annotation_invalid"] * 3,
        *("key_duplicate", "image_missing", "key_invalid", "image_undeclared"),
    ]
    assert len(found) == 13
    first = {**IMAGES[0], "file_name": "of another image with its id.jpg"}
    found = read_all(write(web, tmp_path, [*IMAGES, first], CAPTIONS), captions="joined")
    assert [one.reason for one in found if isinstance(one, Reject)] == ["caption_missing", "image_duplicate"]
    write(web, tmp_path, images, CAPTIONS + bad)
    joined = read_all(tmp_path, captions="joined")
    assert sum(isinstance(one, CaptionedImage) for one in joined) == 2


def test_dots_and_slashes_of_an_id_are_underscores_in_keys_and_of_two_that_are_then_one_the_first_counts(
    web: Any, tmp_path: Path
) -> None:
    images = [{"id": "train/1.rf.9", "file_name": "1.jpg"}, {"id": "train_1_rf.9", "file_name": "2.jpg"}]
    captions = [{"id": f"1.{n}", "image_id": image["id"], "caption": "A dog."} for n, image in enumerate(images)]
    write(web, tmp_path, images, captions)
    assert told(read_all(tmp_path)) == [("train_1_rf_9-1_0", "A dog."), ("train_1_rf_9-1_1", "A dog.")]
    found = read_all(tmp_path, captions="joined")
    assert told(found) == [("train_1_rf_9", "A dog."), ("train_1_rf_9", "key_duplicate")]
    assert [one.locator for one in found if isinstance(one, CaptionedImage)] == ["1.jpg"]


@pytest.mark.parametrize(
    "content", ["", "[" * 100_000, "[]", "{}", '{"images": []}', '{"images": 1, "annotations": []}', "\xff"]
)
def test_what_is_no_captions_json_is_an_error_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "captions.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"captions\.json (is not JSON|has no list)") as caught:
        read_all(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_json_without_captions_and_a_folder_that_is_none_are_errors(web: Any, tmp_path: Path) -> None:
    write(web, tmp_path, IMAGES, [])
    with pytest.raises(ValueError, match="holds no caption"):
        read_all(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        open_source(CocoSource(uri=str(tmp_path / "captions.json"), images=str(tmp_path / "none")))


def test_the_fingerprint_is_of_the_json_and_of_how_captions_are_taken(web: Any, tmp_path: Path) -> None:
    def fingerprint(folder: str, annotations: list[Any], **fields: Any) -> str:
        where = write(web, tmp_path / folder, IMAGES, annotations)
        recipe = CocoSource(uri=str(where / "captions.json"), images=str(where / "photos"), **fields)
        return Coco(recipe).fingerprint()

    first = fingerprint("a", CAPTIONS)
    assert first == fingerprint("b", CAPTIONS)
    assert len({first, fingerprint("c", CAPTIONS[:2]), fingerprint("d", CAPTIONS, captions="joined")}) == 3
