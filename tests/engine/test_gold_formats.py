"""Each format of human annotations arrives exact from its published layout; what is wrong is counted by reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.artifacts import Store
from engine.gold import FORMATS, READERS, import_gold
from engine.gold_flickr import parse_sentence
from engine.gold_jsonl import JsonLines
from engine.gold_spans import unit_spans
from engine.shards import committed_units, read_shard
from schemas.recipes import GOLD_FILES
from schemas.shards import DatasetCard, SampleLabels

WIDTH, HEIGHT = 100, 80
BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'
Imported = tuple[DatasetCard, list[SampleLabels]]


def _object(name: str, *corners: float) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return f"<object><name>{name}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>"


def test_the_command_line_and_recipes_know_every_format() -> None:
    assert tuple(READERS) == GOLD_FILES
    assert (*GOLD_FILES, "scenes") == FORMATS


# ------------------------------------------------------------------------------------------------------- Pascal VOC


def test_voc_boxes_count_pixels_from_one_and_hold_the_last(tmp_path: Path) -> None:
    card, (sample,) = _voc(tmp_path, _object("dog", 1, 1, WIDTH, HEIGHT) + _object("cat", 11, 21, 30.5, 40))
    assert sample.caption == "cat. dog"
    assert _boxes(sample) == [("cat", (10, 20, 30.5, 40)), ("dog", (0, 0, WIDTH, HEIGHT))]
    assert (card.task, card.classes, sample.key) == ("detection", ["cat", "dog"], "one")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("<object><name>cat</name></object>", "annotation_malformed"),
        ("<object><bndbox><xmin>1</xmin></bndbox></object>", "annotation_malformed"),
        ("<object><name>cat</name><bndbox><xmin>x</xmin></bndbox></object>", "annotation_malformed"),
        (_object("cat", float("nan"), 1, 5, 5), "box_not_finite"),
        (_object("cat", 9, 1, 5, 5), "box_without_area"),
        (_object("cat", 500, 1, 600, 5), "box_outside_image"),
        (_object("cat", 1, 1, 5, 5).replace("<difficult>0", "<difficult>1"), "difficult"),
    ],
)
def test_a_bad_voc_object_is_a_counted_reject(tmp_path: Path, item: str, reason: str) -> None:
    card, (sample,) = _voc(tmp_path, item + _object("dog", 1, 1, 5, 5))
    assert card.stages[1].dropped == {reason: 1}
    assert _boxes(sample) == [("dog", (0, 0, 5, 5))]


def test_an_entity_bomb_is_refused_and_the_rest_is_imported(tmp_path: Path) -> None:
    _voc_files(tmp_path, "one", _object("dog", 1, 1, 5, 5))
    (tmp_path / "Annotations" / "bomb.xml").write_text(BOMB)
    (tmp_path / "Annotations" / "cut.xml").write_text("<annotation><object>")
    card, samples = _import("voc", tmp_path)
    assert card.stages[0].dropped == {"annotation_malformed": 2}
    assert [sample.key for sample in samples] == ["one"]


def test_a_voc_label_map_declares_the_classes_in_its_order(tmp_path: Path) -> None:
    _voc_files(tmp_path, "one", _object("cat", 1, 1, 5, 5) + _object("dog", 1, 1, 5, 5) + _object("ufo", 1, 1, 5, 5))
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:::\ncat:::\n")
    card, (sample,) = _import("voc", tmp_path)
    assert (card.classes, sample.caption) == (["dog", "cat"], "dog. cat")
    assert card.stages[1].dropped == {"category_undeclared": 1}


def test_a_voc_split_takes_the_pictures_of_its_list(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _voc_files(tmp_path, name, _object("dog", 1, 1, 5, 5))
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("two\ngone\n")
    card, samples = _import("voc", tmp_path, split="val")
    assert [sample.key for sample in samples] == ["two"]
    assert card.stages[0].dropped == {"annotation_missing": 1}
    (lists / "bad.txt").write_text("../one\n")
    for split, message in (("bad", "no name of a file"), ("test", "no split 'test'"), ("../x", "a split is a name")):
        with pytest.raises(ValueError, match=message):
            _import("voc", tmp_path, split=split, out=f"out-{len(message)}")


@pytest.mark.parametrize(
    ("filename", "kept"), [("gone.jpg", True), ("", True), ("../secret.jpg", False), ("/etc/passwd", False)]
)
def test_a_voc_file_name_never_leads_out_of_the_folder(tmp_path: Path, filename: str, kept: bool) -> None:
    """A name that is not there is passed over for the picture of the annotation's own name, as labelling tools leave
    wrong ones; one that is there, outside, is refused."""
    _voc_files(tmp_path, "one", _object("dog", 1, 1, 5, 5), filename=filename)
    _voc_files(tmp_path, "two", _object("dog", 1, 1, 5, 5))
    _picture(tmp_path / "secret.jpg")
    card, samples = _import("voc", tmp_path)
    assert [sample.key for sample in samples] == (["one", "two"] if kept else ["two"])
    assert card.stages[0].dropped == ({} if kept else {"image_outside_folder": 1})


@pytest.mark.data
def test_the_raccoons_arrive_whole(tmp_path: Path, data_folder: Path) -> None:
    raccoons = data_folder / "raccoon"
    card = import_gold("voc", raccoons / "voc_xml", tmp_path / "out", images=raccoons / "images")
    assert (card.samples, card.boxes, card.rejects, card.classes) == (200, 217, 0, ["raccoon"])


# ------------------------------------------------------------------------------------------------------------- ODVG


def test_odvg_grounding_keeps_captions_spans_and_boxes(tmp_path: Path) -> None:
    caption = "Two dogs near a hat"
    regions = [
        {"bbox": [[1, 2, 30, 40], [50, 50, 60, 60]], "phrase": "two dogs", "tokens_positive": [[0, 3], [4, 8]]},
        {"bbox": [5, 5, 9, 9], "phrase": "a hat", "tokens_positive": [[14, 19]]},
    ]
    card, (first, second) = _odvg(tmp_path, [_grounding(caption, regions), _grounding(caption, regions[1:])])
    assert _boxes(first) == [("Two dogs", (1, 2, 30, 40)), ("Two dogs", (50, 50, 60, 60)), ("a hat", (5, 5, 9, 9))]
    assert (first.caption, first.key, second.key) == (caption, "one", "one-1")
    assert (card.task, card.stages[1].came_in, card.boxes) == ("grounding", 4, 4)


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ({"bbox": [1, 2, 3, 4], "phrase": "x", "tokens_positive": [[0, 99]]}, "span_mismatch"),
        ({"bbox": [1, 2, 3, 4], "phrase": "x", "tokens_positive": [[-2, 3]]}, "span_mismatch"),
        ({"bbox": [1, 2, 3, 4], "phrase": "x", "tokens_positive": [[3, 3]]}, "span_mismatch"),
        ({"bbox": [1, 2, 3, 4], "phrase": "x", "tokens_positive": []}, "span_mismatch"),
        ({"bbox": [], "phrase": "x", "tokens_positive": [[0, 5]]}, "phrase_without_box"),
        ({"bbox": [1, 2, 3], "phrase": "x", "tokens_positive": [[0, 5]]}, "annotation_malformed"),
        ({"bbox": [1, 2, 3, float("nan")], "phrase": "x", "tokens_positive": [[0, 5]]}, "box_not_finite"),
        ({"bbox": [3, 2, 3, 4], "phrase": "x", "tokens_positive": [[0, 5]]}, "box_without_area"),
        ({"bbox": [-9, 2, -3, 4], "phrase": "x", "tokens_positive": [[0, 5]]}, "box_outside_image"),
        ("a cat", "annotation_malformed"),
    ],
)
def test_a_bad_odvg_region_is_a_counted_reject(tmp_path: Path, region: Any, reason: str) -> None:
    good = {"bbox": [5, 5, 9, 9], "phrase": "a dog", "tokens_positive": [[10, 15]]}
    card, (sample,) = _odvg(tmp_path, [_grounding("a cat and a dog", [region, good])])
    assert card.stages[1].dropped == {reason: 1}
    assert _boxes(sample) == [("a dog", (5, 5, 9, 9))]


def test_odvg_detection_takes_classes_from_the_label_map_or_the_lines(tmp_path: Path) -> None:
    instances = [
        {"bbox": [1, 2, 3, 4], "label": 10, "category": "traffic_light"},
        {"bbox": [5, 5, 9, 9], "label": 2, "category": "dog"},
    ]
    card, (sample,) = _odvg(tmp_path / "lines", [_detection(instances)])
    assert (card.task, card.classes, sample.caption) == ("detection", ["dog", "traffic light"], "dog. traffic light")
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "label_map.json").write_text(json.dumps({"2": "dog", "3": "cat"}))
    card, (sample,) = _odvg(tmp_path / "map", [_detection(instances)])
    assert (card.classes, _boxes(sample)) == (["dog", "cat"], [("dog", (5, 5, 9, 9))])
    assert card.stages[1].dropped == {"category_undeclared": 1}


def test_bad_odvg_lines_are_counted(tmp_path: Path) -> None:
    good = _detection([{"bbox": [1, 2, 3, 4], "label": 0, "category": "dog"}])
    wrong_size = {**_detection([]), "filename": "two.jpg", "width": 7}
    lines = [good, {**_detection([]), "filename": "gone.jpg"}, good, _grounding("a dog", []), wrong_size, 7]
    card, samples = _odvg(tmp_path, lines, end="\n\n{cut")
    assert len(samples) == 1
    assert card.stages[0].dropped == {
        "duplicate_key": 1,
        "image_missing": 1,
        "image_size_mismatch": 1,
        "line_malformed": 3,
    }


@pytest.mark.parametrize("format", ["odvg", "mdetr", "coco-phrases"])
def test_a_caption_that_is_no_text_is_a_counted_reject(tmp_path: Path, format: str) -> None:
    """Half a surrogate pair: JSON can say it, UTF-8 cannot."""
    good, bad = "a dog", "a dog \ud83d"
    if format == "odvg":
        region = {"bbox": [5, 5, 9, 9], "phrase": "a dog", "tokens_positive": [[0, 5]]}
        card, samples = _odvg(tmp_path, [_grounding(bad, [region]), _grounding(good, [region])])
    elif format == "mdetr":
        boxes = [_mdetr_box(1, 1, [1, 2, 3, 4], [[0, 5]]), _mdetr_box(2, 2, [1, 2, 3, 4], [[0, 5]])]
        card, samples = _mdetr(tmp_path, [_mdetr_image(1, bad), _mdetr_image(2, good)], boxes)
    else:
        captions = [{"id": row, "image_id": 1, "caption": text} for row, text in enumerate((bad, good))]
        spans = [{"phrase": "a dog", "start": 0, "end": 5, "boxes_xywh": [[1, 2, 3, 4]]}]
        document = {"images": [_mdetr_image(1, "")], "annotations": captions}
        (tmp_path / "captions.json").write_text(json.dumps(document))
        (tmp_path / "phrases.json").write_text(json.dumps([{"caption_id": n, "phrases": spans} for n in (0, 1)]))
        _pictures(tmp_path / "images")
        card, samples = _import(format, tmp_path)
    assert [sample.caption for sample in samples] == [good]
    assert sum(card.stages[0].dropped.values()) == 1


def test_json_lines_are_read_by_number_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b'\n{"a": 1}\n  \n{"a": 2}\nnone\n{"a": 3}')
    lines = JsonLines(tmp_path / "x")
    assert list(lines) == [{"a": 1}, {"a": 2}, None, {"a": 3}]
    assert [lines[3], lines[0], lines[2]] == [{"a": 3}, {"a": 1}, None]


# ------------------------------------------------------------------------------------------------------------ MDETR


def test_mdetr_boxes_are_meant_by_their_characters(tmp_path: Path) -> None:
    caption = "a red car and a dog"
    images = [_mdetr_image(1, caption), _mdetr_image(2, "a dog")]
    boxes = [
        _mdetr_box(1, 1, [1, 2, 3, 4], [[2, 5], [6, 9]]),  # two words of one phrase
        _mdetr_box(2, 1, [5, 5, 9, 9], [[14, 19], [0, 1]]),  # two phrases
        _mdetr_box(3, 2, [0, 0, 5, 5], [[0, 5]]),
    ]
    card, (first, second) = _mdetr(tmp_path, images, boxes)
    assert _boxes(first) == [("a", (5, 5, 14, 14)), ("red car", (1, 2, 4, 6)), ("a dog", (5, 5, 14, 14))]
    assert (second.caption, second.key, card.task) == ("a dog", "one-1", "grounding")


def test_bad_mdetr_boxes_and_ids_are_counted(tmp_path: Path) -> None:
    images = [_mdetr_image(1, "a dog"), _mdetr_image(1, "a cat"), {"id": 3, "file_name": "one.jpg"}]
    boxes = [
        _mdetr_box(1, 1, [1, 2, 3, 4], [[0, 5]]),
        _mdetr_box(2, 1, [1, 2, 3, 4], [[0, 6]]),
        _mdetr_box(3, 1, [1, 2, 0, 4], [[0, 5]]),
        _mdetr_box(4, 9, [1, 2, 3, 4], [[0, 5]]),
        {"image_id": 1, "bbox": [1, 2, 3, 4]},
    ]
    card, (sample,) = _mdetr(tmp_path, images, boxes)
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
    assert unit_spans("a red car", [(0, 5), (2, 5)]) == [(0, 5)]


# ------------------------------------------------------------------------------------------------------------- LVIS


def test_lvis_says_what_was_looked_for_in_vain(tmp_path: Path) -> None:
    _picture(tmp_path / "val2017" / "000000000139.jpg")
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
    card, (sample,) = _import("lvis", tmp_path)
    assert (sample.key, sample.caption, len(sample.boxes)) == ("000000000139", "aerosol can", 2)
    assert (sample.absent_classes, sample.incomplete_classes) == (["dog"], ["aerosol can"])
    assert card.stages[1].dropped == {"duplicate_id": 1}


@pytest.mark.data
def test_the_lvis_sample_arrives_whole(tmp_path: Path, data_folder: Path) -> None:
    """Its pictures are not there: blank ones of the stated sizes stand for them."""
    file = data_folder / "lvis" / "lvis_v0.5_val_open.json"
    document = json.loads(file.read_text())
    for image in document["images"]:
        _picture(tmp_path / "pictures" / image["file_name"], (image["width"], image["height"]))
    card = import_gold("lvis", file, tmp_path / "out", images=tmp_path / "pictures")
    samples = _samples(tmp_path / "out")
    assert (card.samples, card.boxes, card.rejects) == (83, 760, 0)
    assert [len(one.absent_classes or ()) for one in samples] == [
        len(image["neg_category_ids"]) for image in document["images"]
    ]


def test_an_image_id_that_is_taken_is_no_picture_without_boxes(tmp_path: Path) -> None:
    _pictures(tmp_path / "images")
    images = [{"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT} for name in ("one.jpg", "two.jpg")]
    document = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": []}
    (tmp_path / "instances.json").write_text(json.dumps(document))
    card, samples = _import("coco", tmp_path)
    assert [sample.key for sample in samples] == ["one"]
    assert card.stages[0].dropped == {"duplicate_id": 1}


# -------------------------------------------------------------------------------------------------------- Flickr30k


def test_flickr_sentences_lose_their_marks_and_keep_their_phrases(tmp_path: Path) -> None:
    sentence = (
        "[/EN#1/people/scene Two young , White males] are near [/EN#4/scene many bushes] and [/EN#0/notvisual it] ."
    )
    card, (sample,) = _flickr(
        tmp_path, sentence, _flickr_object("1", 1, 1, 20, 30) + _flickr_object("1", 41, 41, 50, 50)
    )
    assert sample.caption == "Two young , White males are near many bushes and it ."
    assert _boxes(sample) == [
        ("Two young , White males", (0, 0, 20, 30)),
        ("Two young , White males", (40, 40, 50, 50)),
    ]
    assert card.stages[1].dropped == {"phrase_without_box": 2}
    assert sample.key == "7-0"


def test_a_flickr_box_may_be_of_two_entities(tmp_path: Path) -> None:
    both = _flickr_object("1", 1, 1, 20, 30).replace("</name>", "</name><name>2</name>")
    _, (sample,) = _flickr(tmp_path, "[/EN#1/people A man] and [/EN#2/people his friend]", both)
    assert _boxes(sample) == [("A man", (0, 0, 20, 30)), ("his friend", (0, 0, 20, 30))]


@pytest.mark.parametrize(
    ("sentence", "objects", "stage", "reason"),
    [
        ("[/EN#1/people A man", "", 0, "caption_malformed"),
        ("A man", "", 0, "no_phrase"),
        ("[/EN#2/people A man]", "<object><name>2</name><nobndbox>1</nobndbox></object>", 0, "no_phrase"),
        ("[/EN#1/people A man]", "<object><name>1</name><bndbox><xmin>1</xmin></bndbox></object>", 0, "no_phrase"),
    ],
)  # fmt: skip
def test_a_bad_flickr_sentence_is_a_counted_reject(
    tmp_path: Path, sentence: str, objects: str, stage: int, reason: str
) -> None:
    good = "[/EN#9/people Somebody]"
    card, (sample,) = _flickr(tmp_path, f"{good}\n{sentence}", objects + _flickr_object("9", 1, 1, 5, 5))
    assert card.stages[stage].dropped == {reason: 1}
    assert sample.caption == "Somebody"


def test_a_long_broken_mark_is_read_in_no_time() -> None:
    assert parse_sentence("[/EN#1" + "/" * 50_000)[1] == []


@pytest.mark.data
def test_the_flickr_fragment_is_understood(data_folder: Path, tmp_path: Path) -> None:
    """Its pictures are not there: blank ones of the stated sizes stand for them."""
    fragment = data_folder / "flickr30k" / "mini_fixture"
    for name, size in (("1000092795", (333, 500)), ("92679312", (500, 486))):
        _picture(tmp_path / "pictures" / f"{name}.jpg", size)
    card = import_gold("flickr30k", fragment, tmp_path / "out", images=tmp_path / "pictures")
    samples = _samples(tmp_path / "out")
    first = samples[0]
    assert first.caption == "Two young guys with shaggy hair look at their hands while hanging out in the yard ."
    assert _boxes(first) == [("Two young guys", (158, 124, 219, 335)), ("Two young guys", (196, 109, 261, 373))]
    assert {p.text for p in samples[-1].phrases} == {
        "A young white boy", "short hair", "a microphone", "a slightly balding white male",
    }  # fmt: skip
    assert (card.samples, card.stages[1].dropped) == (6, {"phrase_without_box": 8})


# ---------------------------------------------------------------------------------------------------------- RefCOCO


def test_an_expression_is_the_phrase_of_its_box(tmp_path: Path) -> None:
    _refcoco(tmp_path, [_reference(11, "train", ["the left dog", "dog"]), _reference(11, "testA", ["that one"])])
    card, samples = _import("refcoco", tmp_path, split="train")
    assert [(sample.caption, *_boxes(sample)) for sample in samples] == [
        ("the left dog", ("the left dog", (1, 2, 4, 6))),
        ("dog", ("dog", (1, 2, 4, 6))),
    ]
    assert (card.recipe["split"], [sample.key for sample in samples]) == ("train", ["one-110", "one-111"])
    with pytest.raises(ValueError, match="no reference of split 'val'"):
        _import("refcoco", tmp_path, split="val", out="other")


def test_bad_references_are_counted(tmp_path: Path) -> None:
    good = _reference(11, "train", ["a dog"])
    bad = [
        {**good, "ann_id": 99, "sentences": [{"sent_id": 1, "sent": "x"}]},
        {**good, "image_id": 99, "sentences": [{"sent_id": 2, "sent": "x"}]},
        {**good, "sentences": [{"sent_id": 3}]},
        {"ann_id": 11},
        {**good, "sentences": [{"sent_id": 4, "sent": " "}]},
        good,
    ]
    _refcoco(tmp_path, [good, *bad])
    card, samples = _import("refcoco", tmp_path)
    assert len(samples) == 1
    assert card.stages[0].dropped == {
        "box_undeclared": 1,
        "caption_malformed": 2,
        "duplicate_key": 1,
        "image_undeclared": 1,
        "no_phrase": 1,
    }


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    _refcoco(tmp_path, [])
    (tmp_path / "refs.json").unlink()
    (tmp_path / "refs(unc).p").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    for source in (tmp_path, tmp_path / "refs(unc).p"):
        with pytest.raises(ValueError, match=r"may run code.*json\.dump"):
            import_gold("refcoco", source, tmp_path / "out")


# ------------------------------------------------------------------------------------------------------------- YOLO


def test_yolo_lines_are_shares_of_the_picture(tmp_path: Path) -> None:
    card, (first, second) = _yolo(tmp_path, "1 0.5 0.5 1 1\n0 0.25 0.25 0.1 0.1\n", "names: [cat, dog]")
    assert _boxes(first) == [("cat", (20, 16, 30, 24)), ("dog", (0, 0, WIDTH, HEIGHT))]
    assert (second.boxes, second.caption, card.classes) == ([], "", ["cat", "dog"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.1", "annotation_malformed"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2", "annotation_malformed"),
        ("0 a b c d", "annotation_malformed"),
        ("7 0.5 0.5 0.1 0.1", "category_undeclared"),
        ("-1 0.5 0.5 0.1 0.1", "category_undeclared"),
        ("0 nan 0.5 0.1 0.1", "box_not_finite"),
        ("0 0.5 0.5 nan 0.1", "box_not_finite"),
        ("0 0.5 0.5 0 0.1", "box_without_area"),
        ("0 1.5 0.5 0.1 0.1", "box_outside_image"),
    ],
)
def test_a_bad_yolo_line_is_a_counted_reject(tmp_path: Path, line: str, reason: str) -> None:
    card, (sample, _) = _yolo(tmp_path, f"{line}\n0 0.25 0.25 0.1 0.1\n", "names: {0: cat}")
    assert card.stages[1].dropped == {reason: 1}
    assert _boxes(sample) == [("cat", (20, 16, 30, 24))]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("names: [", "not YAML"),
        ("a: &x [1]\nnames: [*x]", "alias"),
        ("nc: 3", "names no class"),
        ("[]", "names no class"),
    ],
)
def test_yolo_without_names_is_refused(tmp_path: Path, data: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _yolo(tmp_path, "0 0.5 0.5 1 1", data)


# -------------------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("format", GOLD_FILES)
def test_an_empty_folder_is_refused_in_one_line(tmp_path: Path, format: str) -> None:
    (tmp_path / "source").mkdir()
    for source in (tmp_path / "source", tmp_path / "gone"):
        with pytest.raises(ValueError, match=r"source|gone") as error:
            import_gold(format, source, tmp_path / "out")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("format", "file"),
    [
        ("coco", "instances.json"),
        ("lvis", "lvis.json"),
        ("mdetr", "mdetr.json"),
        ("odvg", "o.jsonl"),
        ("refcoco", "refs.json"),
    ],
)
@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1", b"null", b'{"images": 7}'])
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path: Path, format: str, file: str, content: bytes) -> None:
    (tmp_path / file).write_bytes(content)
    (tmp_path / "instances.json").write_bytes(content)
    with pytest.raises(ValueError) as error:
        import_gold(format, tmp_path, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["coco", "lvis", "odvg", "mdetr", "coco-phrases"])
def test_a_split_is_refused_where_the_format_knows_none(tmp_path: Path, format: str) -> None:
    with pytest.raises(ValueError, match="has a file for each split"):
        import_gold(format, tmp_path, tmp_path / "out", split="train")


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    _voc_files(tmp_path / "source", "one", _object("dog", 1, 1, 5, 5))
    (tmp_path / "source" / "JPEGImages").rename(tmp_path / "pictures")
    card = import_gold("voc", tmp_path / "source", tmp_path / "out", images=tmp_path / "pictures")
    assert card.samples == 1
    with pytest.raises(ValueError, match="is no folder"):
        import_gold("voc", tmp_path / "source", tmp_path / "out", images=tmp_path / "nowhere")


# ---------------------------------------------------------------------------------------------------- the test's files


def _import(format: str, source: Path, *, split: str | None = None, out: str = "out") -> Imported:
    folder = source.parent / f"{source.name}-{out}"
    return import_gold(format, source, folder, split=split), _samples(folder)


def _samples(folder: Path) -> list[SampleLabels]:
    store = Store(folder)
    return [sample.labels for unit in committed_units(store) for sample in read_shard(store, unit)]


def _boxes(sample: SampleLabels) -> list[tuple[str, tuple[float, ...]]]:
    return [(sample.phrases[box.phrase].text, box.box_xyxy) for box in sample.boxes]


def _picture(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "green").save(path)


def _pictures(folder: Path) -> None:
    for name in ("one.jpg", "two.jpg"):
        _picture(folder / name)


def _voc_files(folder: Path, name: str, objects: str, *, filename: str | None = None) -> None:
    _picture(folder / "JPEGImages" / f"{name}.jpg")
    (folder / "Annotations").mkdir(exist_ok=True)
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    named = f"<filename>{f'{name}.jpg' if filename is None else filename}</filename>"
    (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{named}{size}{objects}</annotation>")


def _voc(folder: Path, objects: str) -> Imported:
    _voc_files(folder, "one", objects)
    return _import("voc", folder)


def _grounding(caption: str, regions: list[Any]) -> dict[str, Any]:
    size = {"width": WIDTH, "height": HEIGHT}
    return {"filename": "one.jpg", **size, "grounding": {"caption": caption, "regions": regions}}


def _detection(instances: list[Any]) -> dict[str, Any]:
    return {"filename": "one.jpg", "width": WIDTH, "height": HEIGHT, "detection": {"instances": instances}}


def _odvg(folder: Path, lines: list[Any], *, end: str = "") -> Imported:
    _pictures(folder / "images")
    (folder / "train.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + end)
    return _import("odvg", folder)


def _mdetr_image(number: int, caption: str) -> dict[str, Any]:
    return {"id": number, "file_name": "one.jpg", "width": WIDTH, "height": HEIGHT, "caption": caption}


def _mdetr_box(number: int, image: int, bbox: list[float], tokens: list[list[int]]) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": 1, "bbox": bbox, "iscrowd": 0, "tokens_positive": tokens}


def _mdetr(folder: Path, images: list[Any], boxes: list[Any]) -> Imported:
    _pictures(folder / "images")
    categories = [{"supercategory": "object", "id": 1, "name": "object"}]
    document = {"images": images, "annotations": boxes, "categories": categories}
    (folder / "final_mixed_train.json").write_text(json.dumps(document))
    return _import("mdetr", folder)


def _flickr_object(entity: str, *corners: int) -> str:
    return _object(entity, *corners).replace("<difficult>0</difficult>", "")


def _flickr(folder: Path, sentences: str, objects: str) -> Imported:
    _picture(folder / "flickr30k-images" / "7.jpg")
    for name in ("Annotations", "Sentences"):
        (folder / name).mkdir()
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    annotation = f"<annotation><filename>7.jpg</filename>{size}{objects}</annotation>"
    (folder / "Annotations" / "7.xml").write_text(annotation)
    (folder / "Sentences" / "7.txt").write_text(sentences + "\n")
    return _import("flickr30k", folder)


def _reference(annotation: int, split: str, sentences: list[str]) -> dict[str, Any]:
    said = [{"sent_id": 10 * annotation + row, "sent": sent, "raw": sent} for row, sent in enumerate(sentences)]
    return {"ref_id": 1, "ann_id": annotation, "image_id": 1, "split": split, "sentences": said}


def _refcoco(folder: Path, references: list[Any]) -> None:
    _pictures(folder / "images")
    images = [{"id": 1, "file_name": "one.jpg", "width": WIDTH, "height": HEIGHT}]
    boxes = [{"id": 11, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]
    (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": []}))
    (folder / "refs.json").write_text(json.dumps(references))


def _yolo(folder: Path, lines: str, data: str) -> Imported:
    _pictures(folder / "images")
    (folder / "labels").mkdir()
    (folder / "labels" / "one.txt").write_text(lines)
    (folder / "data.yaml").write_text(data)
    return _import("yolo", folder)
