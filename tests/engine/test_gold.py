"""Human annotations arrive whole and exact, what is wrong is counted by reason, and equal input gives equal bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.artifacts import Store
from engine.gold import import_gold
from engine.gold.rules import box_from_xywh, class_name, head_lemma
from engine.shards import LabelledImage, committed_units, read_card, read_manifest, read_shard
from engine.sources.scenes import render_scene
from schemas.recipes import ScenesSource

CATEGORIES = [{"id": 7, "name": "traffic_light"}, {"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}]


def test_a_detection_json_becomes_class_prompts_with_exact_spans(tmp_path: Path) -> None:
    annotations = [_box(1, 5, [10, 20, 30, 40]), _box(1, 3, [0, 0, 5, 5]), _box(1, 5, [50, 50, 10, 10])]
    source = _detection(tmp_path, annotations)
    card = import_gold("coco", source, tmp_path / "out")
    first, second = _samples(tmp_path / "out")
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
    source = _detection(tmp_path, [])
    import_gold("coco", source, tmp_path / "out")
    content = (source / "images" / "one.jpg").read_bytes()
    sample = _samples(tmp_path / "out")[0]
    assert sample.image == content
    assert sample.labels.image_sha256 == hashlib.sha256(content).hexdigest()
    assert (sample.labels.key, sample.labels.width, sample.labels.height) == ("one", 100, 80)


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
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, 0, 4]}, "box_without_area"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, -4]}, "box_without_area"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, float("nan"), 4]}, "box_not_finite"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, float("inf"), 4]}, "box_not_finite"),
        ({"image_id": 1, "category_id": 5, "bbox": [200, 2, 3, 4]}, "box_outside_image"),
    ],
)
def test_a_bad_box_is_a_counted_reject_and_the_rest_is_imported(tmp_path: Path, annotation: Any, reason: str) -> None:
    source = _detection(tmp_path, [_box(1, 5, [10, 20, 30, 40]), annotation])
    card = import_gold("coco", source, tmp_path / "out")
    assert card.stages[1].dropped == {reason: 1}
    assert (card.stages[1].came_in, card.stages[1].went_on) == (2, 1)
    assert (card.samples, card.boxes, card.rejects) == (2, 1, 1)


def test_a_box_that_sticks_out_is_clipped() -> None:
    assert box_from_xywh((-5, 70, 50, 50), 100, 80) == (0, 70, 45, 80)
    assert box_from_xywh((0.1, 0.2, 0.3, 0.4), 100, 80) == (0.1, 0.2, 0.4, 0.6)


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
        ({"id": 2, "file_name": "a.b.jpg", "width": 100, "height": 80}, "key_invalid"),
        ({"id": 2, "file_name": "x" * 5000, "width": 100, "height": 80}, "image_malformed"),
        ({"id": 2, "file_name": "a\0b.jpg", "width": 100, "height": 80}, "image_malformed"),
        ({"id": 2, "file_name": "two.jpg", "width": 0, "height": 80}, "image_malformed"),
        ("two.jpg", "image_malformed"),
    ],
)
def test_a_bad_image_is_a_counted_reject(tmp_path: Path, image: Any, reason: str) -> None:
    source = _detection(tmp_path, [_box(1, 5, [10, 20, 30, 40])])
    (source / "images" / "broken.jpg").write_bytes(b"no picture")
    whole = (source / "images" / "one.jpg").read_bytes()
    (source / "images" / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    document = json.loads((source / "instances.json").read_text())
    document["images"][1] = image
    (source / "instances.json").write_text(json.dumps(document))
    card = import_gold("coco", source, tmp_path / "out")
    assert card.stages[0].dropped == {reason: 1}
    assert (card.samples, card.boxes, card.rejects) == (1, 1, 1)


def test_captions_become_samples_with_exact_spans(tmp_path: Path) -> None:
    caption = "Two dogs near a woman's hat – a hat."
    phrases = [
        _phrase(caption, "a hat", [[1, 2, 3, 4]]),
        _phrase(caption, "Two dogs", [[10, 10, 20, 20], [40, 40, 10, 10]]),
    ]
    source = _captions(tmp_path, [caption, "Nothing to see."], {0: phrases})
    card = import_gold("coco-phrases", source, tmp_path / "out")
    (sample,) = _samples(tmp_path / "out")
    assert sample.labels.key == "one-100"
    assert [(p.text, p.head_lemma) for p in sample.labels.phrases] == [("Two dogs", "dog"), ("a hat", "hat")]
    assert [caption[p.start : p.end] for p in sample.labels.phrases] == ["Two dogs", "a hat"]
    assert [(box.phrase, box.box_xyxy) for box in sample.labels.boxes] == [
        (0, (10, 10, 30, 30)),
        (0, (40, 40, 50, 50)),
        (1, (1, 2, 4, 6)),
    ]
    assert card.task == "grounding"
    assert card.stages[0].dropped == {"no_phrase": 1}


@pytest.mark.parametrize(
    ("phrase", "reason"),
    [
        ({"phrase": "a cat", "start": 1, "end": 6, "boxes_xywh": [[1, 2, 3, 4]]}, "span_mismatch"),
        ({"phrase": "", "start": 2, "end": 2, "boxes_xywh": [[1, 2, 3, 4]]}, "span_mismatch"),
        ({"phrase": ".", "start": -1, "end": 99, "boxes_xywh": [[1, 2, 3, 4]]}, "span_mismatch"),
        ({"phrase": "a cat", "start": 0, "end": 5, "boxes_xywh": []}, "phrase_without_box"),
        ({"phrase": "a cat", "start": 0, "end": 5, "boxes_xywh": [[1, 2, 0, 4]]}, "box_without_area"),
        ({"phrase": "a cat", "start": 0}, "annotation_malformed"),
        (17, "annotation_malformed"),
    ],
)
def test_a_bad_phrase_is_a_counted_reject_and_the_rest_is_imported(tmp_path: Path, phrase: Any, reason: str) -> None:
    caption = "a cat and a dog"
    source = _captions(tmp_path, [caption], {0: [phrase, _phrase(caption, "a dog", [[5, 5, 9, 9]])]})
    card = import_gold("coco-phrases", source, tmp_path / "out")
    assert card.stages[1].dropped == {reason: 1}
    assert (card.samples, card.phrases, card.boxes) == (1, 1, 1)


def test_phrases_of_no_caption_are_counted(tmp_path: Path) -> None:
    caption = "a dog"
    source = _captions(tmp_path, [caption], {0: [_phrase(caption, "a dog", [[5, 5, 9, 9]])]})
    entries = json.loads((source / "phrases.json").read_text())
    (source / "phrases.json").write_text(json.dumps([*entries, {"caption_id": 999, "phrases": []}, "x"]))
    card = import_gold("coco-phrases", source, tmp_path / "out")
    assert card.stages[1].dropped == {"annotation_malformed": 1, "caption_undeclared": 1}


def test_scenes_become_gold_with_the_drawn_boxes(tmp_path: Path) -> None:
    recipe = ScenesSource(count=5, seed=4, first_index=10)
    card = import_gold("scenes", recipe, tmp_path / "out", unit_size=2)
    samples = _samples(tmp_path / "out")
    assert [sample.labels.key for sample in samples] == [f"{index:09d}" for index in range(10, 15)]
    for index, sample in enumerate(samples, start=10):
        scene = render_scene(index, recipe)
        assert sample.labels.caption == scene.caption
        assert [(box.phrase, box.box_xyxy) for box in sample.labels.boxes] == scene.boxes
    assert (card.units, card.samples, card.rejects) == (3, 5, 0)


def test_equal_sources_give_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    annotations = [_box(1, 5, [10, 20, 30, 40]), _box(2, 3, [1, 1, 0, 5])]
    digests = []
    for place in ("here", "there"):
        source = _detection(tmp_path / place, annotations)
        import_gold("coco", source, tmp_path / place / "out", unit_size=1)
        digests.append(_digests(tmp_path / place / "out"))
    assert digests[0] == digests[1]
    assert len(digests[0]) == 1 + 2 * 4


def test_counts_add_up_and_manifests_agree_with_the_card(tmp_path: Path) -> None:
    source = _detection(tmp_path, [_box(1, 5, [10, 20, 30, 40]), _box(1, 99, [1, 1, 4, 5]), _box(2, 3, [1, 1, 4, 5])])
    seen: list[int] = []
    card = import_gold(
        "coco", source, tmp_path / "out", unit_size=1, on_unit=lambda manifest: seen.append(manifest.unit)
    )
    store = Store(tmp_path / "out")
    manifests = [read_manifest(store, unit) for unit in committed_units(store)]
    assert seen == [0, 1]
    assert card == read_card(store)
    for name in ("samples", "phrases", "boxes", "rejects"):
        assert getattr(card, name) == sum(getattr(manifest, name) for manifest in manifests)
    assert card.rejects == sum(sum(stage.dropped.values()) for stage in card.stages)
    assert card.boxes == card.stages[1].went_on
    assert card.samples == card.stages[0].went_on


def test_an_interrupted_import_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    recipe = ScenesSource(count=6)
    import_gold("scenes", recipe, tmp_path / "whole", unit_size=2)

    def stop(manifest: Any) -> None:
        if manifest.unit == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_gold("scenes", recipe, tmp_path / "cut", unit_size=2, on_unit=stop)
    assert not read_card(Store(tmp_path / "cut")).complete
    before = (tmp_path / "cut" / "shards" / "000000.tar").stat().st_mtime_ns
    import_gold("scenes", recipe, tmp_path / "cut", unit_size=2)
    assert (tmp_path / "cut" / "shards" / "000000.tar").stat().st_mtime_ns == before
    assert _digests(tmp_path / "cut") == _digests(tmp_path / "whole")


def test_a_folder_of_another_dataset_is_refused(tmp_path: Path) -> None:
    import_gold("scenes", ScenesSource(count=1), tmp_path / "out")
    with pytest.raises(ValueError, match="holds another dataset"):
        import_gold("scenes", ScenesSource(count=1, seed=9), tmp_path / "out")


@pytest.mark.parametrize(
    ("format", "content", "message"),
    [
        ("coco", None, "wanted one"),
        ("coco", "{", "is not JSON"),
        ("coco", "[" * 100_000, "is not JSON"),
        ("coco", "[]", "no list 'images'"),
        ("coco", '{"images": [], "categories": [], "annotations": []}', "declares no category"),
        ("coco", '{"images": [], "categories": [{"id": 1, "name": "cat"}], "annotations": []}', "source is empty"),
        ("coco-phrases", None, "does not exist"),
        ("flickr", None, "no gold format"),
        ("scenes", None, "takes the recipe"),
    ],
)
def test_a_source_that_is_none_is_refused_in_one_line(
    tmp_path: Path, format: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "instances.json").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        import_gold(format, tmp_path, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_class_names_and_heads_read_like_words() -> None:
    assert class_name("aerosol_can") == "aerosol can"
    assert [head_lemma(text) for text in ("A woman", "three people", "the parking meters", "bus", "skis")] == [
        "woman",
        "person",
        "meter",
        "bus",
        "ski",
    ]


@pytest.mark.data
def test_the_human_photos_arrive_whole(tmp_path: Path, data_folder: Path) -> None:
    boxes = import_gold("coco", data_folder / "photos" / "human", tmp_path / "boxes")
    assert (boxes.samples, boxes.boxes, boxes.stages[1].dropped) == (400, 3571, {"crowd": 32})
    phrases = import_gold("coco-phrases", data_folder / "photos" / "human", tmp_path / "phrases")
    assert (phrases.phrases, phrases.stages[1].dropped) == (1090, {})


def _box(image: int, category: int, bbox: list[float]) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0}


def _detection(folder: Path, annotations: list[Any]) -> Path:
    source = folder / "source"
    images = _images(source)
    document = {"images": images, "categories": CATEGORIES, "annotations": annotations}
    (source / "instances.json").write_text(json.dumps(document))
    return source


def _captions(folder: Path, captions: list[str], phrases: dict[int, list[Any]]) -> Path:
    source = folder / "source"
    annotations = [{"id": 100 + row, "image_id": 1, "caption": caption} for row, caption in enumerate(captions)]
    (source / "images").mkdir(parents=True)
    (source / "captions.json").write_text(json.dumps({"images": _images(source), "annotations": annotations}))
    entries = [{"caption_id": 100 + row, "image_id": 1, "phrases": found} for row, found in phrases.items()]
    (source / "phrases.json").write_text(json.dumps(entries))
    return source


def _phrase(caption: str, text: str, boxes: list[list[float]]) -> dict[str, Any]:
    start = caption.rindex(text)
    return {"phrase": text, "start": start, "end": start + len(text), "category": "x", "boxes_xywh": boxes}


def _images(source: Path) -> list[dict[str, Any]]:
    (source / "images").mkdir(parents=True, exist_ok=True)
    for name, colour in (("one.jpg", "red"), ("two.jpg", "blue"), ("a.b.jpg", "green")):
        Image.new("RGB", (100, 80), colour).save(source / "images" / name)
    return [{"id": n, "file_name": name, "width": 100, "height": 80} for n, name in ((1, "one.jpg"), (2, "two.jpg"))]


def _samples(folder: Path) -> list[LabelledImage]:
    store = Store(folder)
    return [sample for unit in committed_units(store) for sample in read_shard(store, unit)]


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
