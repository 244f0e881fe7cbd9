"""MDETR and LVIS JSON arrive exact from their published layouts; what is wrong is counted by reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gold_files import (
    HEIGHT,
    WIDTH,
    boxes_of,
    import_all,
    import_mdetr,
    mdetr_box,
    mdetr_image,
    picture,
    pictures,
    samples_of,
)

from engine.gold import import_gold
from engine.gold.spans import unit_spans


def test_mdetr_boxes_are_meant_by_their_characters(tmp_path: Path) -> None:
    caption = "a red car and a dog"
    images = [mdetr_image(1, caption), mdetr_image(2, "a dog")]
    boxes = [
        mdetr_box(1, 1, [1, 2, 3, 4], [[2, 5], [6, 9]]),  # two words of one phrase
        mdetr_box(2, 1, [5, 5, 9, 9], [[14, 19], [0, 1]]),  # two phrases
        mdetr_box(3, 2, [0, 0, 5, 5], [[0, 5]]),
    ]
    card, (first, second) = import_mdetr(tmp_path, images, boxes)
    assert boxes_of(first) == [("a", (5, 5, 14, 14)), ("red car", (1, 2, 4, 6)), ("a dog", (5, 5, 14, 14))]
    assert (second.caption, second.key, card.task) == ("a dog", "one-1", "grounding")


def test_bad_mdetr_boxes_and_ids_are_counted(tmp_path: Path) -> None:
    images = [mdetr_image(1, "a dog"), mdetr_image(1, "a cat"), {"id": 3, "file_name": "one.jpg"}]
    boxes = [
        mdetr_box(1, 1, [1, 2, 3, 4], [[0, 5]]),
        mdetr_box(2, 1, [1, 2, 3, 4], [[0, 6]]),
        mdetr_box(3, 1, [1, 2, 0, 4], [[0, 5]]),
        mdetr_box(4, 9, [1, 2, 3, 4], [[0, 5]]),
        {"image_id": 1, "bbox": [1, 2, 3, 4]},
    ]
    card, (sample,) = import_mdetr(tmp_path, images, boxes)
    assert (sample.caption, len(sample.boxes)) == ("a dog", 1)
    assert card.stages[0].dropped == {"duplicate_id": 1, "image_malformed": 1}
    assert card.stages[1].dropped == {
        "annotation_malformed": 1,
        "box_without_area": 1,
        "image_undeclared": 1,
        "span_mismatch": 1,
    }


def test_words_with_only_space_between_are_one_phrase() -> None:
    assert unit_spans("a red  car", [(7, 10), (2, 5)]) == [(2, 10)]
    assert unit_spans("a red car", [(0, 1), (6, 9)]) == [(0, 1), (6, 9)]
    assert unit_spans("a red car", [(0, 5), (2, 4)]) == [(0, 5)]


def test_lvis_says_what_was_looked_for_in_vain(tmp_path: Path) -> None:
    picture(tmp_path / "val2017" / "000000000139.jpg")
    image = {
        "id": 139,
        "coco_url": "http://images.cocodataset.org/val2017/000000000139.jpg",
        "width": WIDTH,
        "height": HEIGHT,
        "neg_category_ids": [3, 99],
        "not_exhaustive_category_ids": [1],
    }
    categories = [{"id": 1, "name": "aerosol_can"}, {"id": 2, "name": "cat"}, {"id": 3, "name": "dog"}]
    box = {"id": 1, "image_id": 139, "category_id": 1, "bbox": [1.25, 2, 3, 4]}
    document = {"images": [image], "categories": categories, "annotations": [box, box, {**box, "id": 2}]}
    (tmp_path / "lvis_v1_val.json").write_text(json.dumps(document))
    card, (sample,) = import_all("lvis", tmp_path)
    assert (sample.key, sample.caption, len(sample.boxes)) == ("000000000139", "aerosol can", 2)
    assert (sample.absent_classes, sample.incomplete_classes) == (["dog"], ["aerosol can"])
    assert card.stages[1].dropped == {"duplicate_id": 1}


def test_to_have_looked_for_no_class_is_not_the_same_as_not_to_say(tmp_path: Path) -> None:
    pictures(tmp_path)
    sizes = {"width": WIDTH, "height": HEIGHT}
    looked = {"id": 1, "file_name": "one.jpg", **sizes, "neg_category_ids": [], "not_exhaustive_category_ids": []}
    images, categories = [looked, {"id": 2, "file_name": "two.jpg", **sizes}], [{"id": 1, "name": "cat"}]
    boxes = [{"id": image, "image_id": image, "category_id": 1, "bbox": [1, 2, 3, 4]} for image in (1, 2)]
    document = {"images": images, "categories": categories, "annotations": boxes}
    (tmp_path / "lvis_v1_val.json").write_text(json.dumps(document))
    _, samples = import_all("lvis", tmp_path)
    assert [(one.absent_classes, one.incomplete_classes) for one in samples] == [([], []), (None, None)]


@pytest.mark.data
def test_the_lvis_sample_arrives_whole(tmp_path: Path, data_folder: Path) -> None:
    """Its pictures are not there: blank ones of the stated sizes stand for them."""
    file = data_folder / "lvis" / "lvis_v0.5_val_open.json"
    document = json.loads(file.read_text())
    for image in document["images"]:
        picture(tmp_path / "pictures" / image["file_name"], (image["width"], image["height"]))
    card = import_gold("lvis", file, tmp_path / "out", images=tmp_path / "pictures")
    samples = samples_of(tmp_path / "out")
    assert (card.samples, card.boxes, card.rejects) == (83, 760, 0)
    assert [len(one.absent_classes or ()) for one in samples] == [
        len(image["neg_category_ids"]) for image in document["images"]
    ]


def test_an_image_id_that_is_taken_is_no_picture_without_boxes(tmp_path: Path) -> None:
    pictures(tmp_path / "images")
    images = [{"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT} for name in ("one.jpg", "two.jpg")]
    document = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": []}
    (tmp_path / "instances.json").write_text(json.dumps(document))
    card, samples = import_all("coco", tmp_path)
    assert [sample.key for sample in samples] == ["one"]
    assert card.stages[0].dropped == {"duplicate_id": 1}
