"""Boxes of a COCO file become class prompts with exact spans, and what is wrong with a box or a picture is counted."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from coco_sources import box_entry, detection_source
from pictures import saved
from PIL import Image
from stored_samples import samples_in

from engine.gold import import_gold
from engine.gold.coco_json import xyxy_of
from engine.gold.rules import box_from_xyxy, decoded_size
from engine.mix import NameRelations
from schemas.shards import SampleCrowd
from student.prompts import absent_classes


def test_a_detection_json_becomes_class_prompts_with_exact_spans(tmp_path: Path) -> None:
    annotations = [box_entry(1, 5, [10, 20, 30, 40]), box_entry(1, 3, [0, 0, 5, 5]), box_entry(1, 5, [50, 50, 10, 10])]
    source = detection_source(tmp_path, annotations)
    card = import_gold("coco", source, tmp_path / "out")
    first, second = samples_in(tmp_path / "out")
    assert first.labels.caption == "cat. dog"
    assert [(p.text, p.start, p.end, p.head_lemma) for p in first.labels.phrases] == [
        ("cat", 0, 3, "cat"),
        ("dog", 5, 8, "dog"),
    ]
    assert [(box.phrase, box.box_xyxy, box.score) for box in first.labels.boxes] == [
        (0, (0, 0, 5, 5), 1.0),
        (1, (10, 20, 40, 60), 1.0),
        (1, (50, 50, 60, 60), 1.0),
    ]
    assert second.labels.phrases == second.labels.boxes == []
    assert (card.origin, card.task, card.complete) == ("human", "detection", True)
    assert card.classes == ["traffic light", "cat", "dog"]


def test_the_picture_is_stored_byte_for_byte(tmp_path: Path) -> None:
    source = detection_source(tmp_path, [])
    import_gold("coco", source, tmp_path / "out")
    content = (source / "images" / "one.jpg").read_bytes()
    sample = samples_in(tmp_path / "out")[0]
    assert sample.image == content
    assert sample.labels.image_sha256 == hashlib.sha256(content).hexdigest()
    assert (sample.labels.key, sample.labels.width, sample.labels.height) == ("one", 100, 80)


def test_crowds_and_areas_of_masks_are_kept_for_evaluation(tmp_path: Path) -> None:
    crowd = {"image_id": 1, "category_id": 7, "bbox": [0, 0, 50, 40], "iscrowd": 1, "area": 900.5}
    areas = [612.25, 0, -1, "large", float("nan"), True, 10**400]
    boxes = [box_entry(1, 5, [10 + n, 20, 30, 40]) | {"area": area} for n, area in enumerate(areas)]
    card = import_gold(
        "coco", detection_source(tmp_path, [crowd, *boxes, box_entry(1, 5, [40, 5, 9, 9])]), tmp_path / "out"
    )
    assert card.stages[1].dropped == {"crowd": 1}
    first, second = (sample.labels for sample in samples_in(tmp_path / "out"))
    assert first.crowds == [SampleCrowd(name="traffic light", box_xyxy=(0, 0, 50, 40))]
    assert [box.area for box in first.boxes] == [612.25, 0.0, *[None] * 6]
    assert absent_classes(first, card.classes, NameRelations()) == ["cat"], "a crowd of traffic lights is there"
    assert second.crowds is None


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, 3]}, "annotation_malformed"),
        ({"image_id": 1, "category_id": 5, "bbox": "everywhere"}, "annotation_malformed"),
        ({"image_id": 1, "bbox": [1, 2, 3, 4]}, "annotation_malformed"),
        ({"image_id": 1, "category_id": 99, "bbox": [1, 2, 3, 4]}, "category_undeclared"),
        ({"image_id": 99, "category_id": 5, "bbox": [1, 2, 3, 4]}, "image_undeclared"),
        ("not even an object", "image_undeclared"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4], "iscrowd": 1}, "crowd"),
        ({"image_id": 1, "category_id": 99, "bbox": [1, 2, 3, 4], "iscrowd": 1}, "category_undeclared"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, 0, 4]}, "box_without_area"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, -4]}, "box_without_area"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, float("nan"), 4]}, "box_not_finite"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, float("inf"), 4]}, "box_not_finite"),
        ({"image_id": 1, "category_id": 5, "bbox": [200, 2, 3, 4]}, "box_outside_image"),
    ],
)
def test_a_bad_box_is_a_counted_reject_and_the_rest_is_imported(tmp_path: Path, annotation: Any, reason: str) -> None:
    source = detection_source(tmp_path, [box_entry(1, 5, [10, 20, 30, 40]), annotation])
    card = import_gold("coco", source, tmp_path / "out")
    assert card.stages[1].dropped == {reason: 1}
    assert (card.stages[1].came_in, card.stages[1].went_on) == (2, 1)
    assert (card.samples, card.boxes, card.rejects) == (2, 1, 1)


def test_a_box_that_sticks_out_is_clipped() -> None:
    assert box_from_xyxy((-5, 70, 45, 120), 100, 80) == (0, 70, 45, 80)
    assert box_from_xyxy(xyxy_of((0.1, 0.2, 0.3, 0.4)), 100, 80) == (0.1, 0.2, 0.4, 0.6)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"id": 2, "file_name": "gone.jpg", "width": 100, "height": 80}, "image_missing"),
        ({"id": 2, "file_name": "../secret.jpg", "width": 100, "height": 80}, "image_outside_folder"),
        ({"id": 2, "file_name": "/etc/passwd.jpg", "width": 100, "height": 80}, "image_outside_folder"),
        ({"id": 2, "file_name": "notes.txt", "width": 100, "height": 80}, "image_format_unknown"),
        ({"id": 2, "file_name": "broken.jpg", "width": 100, "height": 80}, "image_unreadable"),
        ({"id": 2, "file_name": "truncated.jpg", "width": 100, "height": 80}, "image_unreadable"),
        ({"id": 2, "file_name": "two.jpg", "width": 80, "height": 100}, "image_size_mismatch"),
        ({"id": 2, "file_name": "one.jpg", "width": 100, "height": 80}, "duplicate_key"),
        ({"id": 2, "file_name": "a" * 220 + ".jpg", "width": 100, "height": 80}, "key_invalid"),
        ({"id": 2, "file_name": "x" * 5000, "width": 100, "height": 80}, "image_malformed"),
        ({"id": 2, "file_name": "a\0b.jpg", "width": 100, "height": 80}, "image_malformed"),
        ({"id": 2, "file_name": "狗" * 100 + ".jpg", "width": 100, "height": 80}, "image_missing"),
        ({"id": 2, "file_name": "circle.jpg", "width": 100, "height": 80}, "image_missing"),
        ({"id": 2, "file_name": "two.jpg", "width": 0, "height": 80}, "image_malformed"),
        ("two.jpg", "image_malformed"),
    ],
)
def test_a_bad_image_is_a_counted_reject(tmp_path: Path, image: Any, reason: str) -> None:
    source = detection_source(tmp_path, [box_entry(1, 5, [10, 20, 30, 40])])
    (source / "images" / "broken.jpg").write_bytes(b"no picture")
    whole = (source / "images" / "one.jpg").read_bytes()
    (source / "images" / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "images" / "circle.jpg").symlink_to("circle.jpg")
    document = json.loads((source / "instances.json").read_text())
    document["images"][1] = image
    (source / "instances.json").write_text(json.dumps(document))
    card = import_gold("coco", source, tmp_path / "out")
    assert card.stages[0].dropped == {reason: 1}
    assert (card.samples, card.boxes, card.rejects) == (1, 1, 1)


BLACK = Image.new("RGB", (8, 8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (saved(BLACK, "PCX"), "image_unreadable"),  # as EPS, whose decoder would start another program
        (saved(BLACK, "JPEG") + 201 * b"\xff\xda", "image_too_large"),
        (b"P6 20000 10000 255\n", "image_too_large"),
    ],
    ids=["a format that no stage decodes", "scans without end", "a bomb of pixels"],
)
def test_a_picture_that_may_not_be_decoded_is_refused_before_it_is(content: bytes, reason: str) -> None:
    assert decoded_size(saved(BLACK, "JPEG")) == (8, 8)
    assert decoded_size(content) == reason
