"""Datasets that are exported and read back, and what of them is compared: for tests of exports."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from PIL import Image
from sample_labels import labels_of
from stored_samples import samples_in

from engine.artifacts import Store, digest_of
from engine.gold import import_gold
from engine.shards import LabelledImage, write_card, write_shard
from pipelines.export import export
from schemas.records import UnitRef
from schemas.shards import DatasetCard

WIDTH, HEIGHT = 101, 83
MADE = {"teacher_digest": "1" * 64, "recipe_digest": "2" * 64}
CLASSES = ["traffic light", "cat", "dog"]
CAPTIONS = [
    "Two dogs near a woman's <b>hat</b> – a hat.",
    'a 🦝 raccoon & "a bin"\twith\nקופסה',
    "a cat and a cat",
]
SPANS = [[(0, 8), (14, 35), (38, 43)], [(2, 11), (14, 21), (27, 32)], [(0, 5), (10, 15)]]
Row = tuple[str, list[tuple[str, int, int]], list[tuple[int, tuple[float, ...]]]]


def round_trip(folder: Path, dataset: Path, format: str) -> Path:
    receipt = export(dataset, folder / "exported", format=format, images=True, progress=False)
    card = card_of(dataset)
    assert (receipt.samples, receipt.boxes) == (card.samples, card.boxes)
    import_gold(format, folder / "exported", folder / "back")
    assert card_of(folder / "back").rejects == 0
    return folder / "back"


def card_of(dataset: Path) -> DatasetCard:
    return DatasetCard.model_validate_json((dataset / "dataset.json").read_bytes())


def rows_of(dataset: Path) -> list[Row]:
    """Captions, phrases with spans, and boxes, in order."""
    return [
        (
            sample.labels.caption,
            [(phrase.text, phrase.start, phrase.end) for phrase in sample.labels.phrases],
            [(box.phrase, box.box_xyxy) for box in sample.labels.boxes],
        )
        for sample in samples_in(dataset)
    ]


def images_of(dataset: Path) -> list[tuple[str, bytes]]:
    return [(sample.labels.key, sample.image) for sample in samples_in(dataset)]


def boxes_by_head(dataset: Path) -> list[list[tuple[str, tuple[float, ...]]]]:
    found = []
    for sample in samples_in(dataset):
        heads = [phrase.head_lemma for phrase in sample.labels.phrases]
        found.append(sorted((heads[box.phrase], box.box_xyxy) for box in sample.labels.boxes))
    return found


def human_dataset(folder: Path, task: str, *, classes: list[str] | None = None) -> Path:
    """A dataset as `import` writes it: three pictures, boxes with decimals and at the edges."""
    names = classes or CLASSES
    source = folder / "source"
    (source / "images").mkdir(parents=True)
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "green")):
        Image.new("RGB", (WIDTH, HEIGHT), colour).save(source / "images" / f"{name}.png")
    size = {"width": WIDTH, "height": HEIGHT}
    images = [{"id": n, "file_name": f"{name}.png", **size} for n, name in enumerate("abc")]
    boxes = [[0, 0, WIDTH, HEIGHT], [0.1, 0.2, 0.33, 7.07], [99.99, 3, 1.01, 80]]
    if task == "detection":
        categories = [{"id": 10 * n, "name": name} for n, name in enumerate(names)]
        annotations = [
            {"id": n, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0}
            for n, (image, category, box) in enumerate(zip((0, 0, 2), (20, 0, 10), boxes, strict=True))
        ]
        document = {"images": images, "categories": categories, "annotations": annotations}
        (source / "instances.json").write_text(json.dumps(document))
        import_gold("coco", source, folder / "human")
        return folder / "human"
    captions = [{"id": n, "image_id": n, "caption": caption} for n, caption in enumerate(CAPTIONS)]
    (source / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    phrases = [
        {"caption_id": n, "phrases": [
            {"phrase": CAPTIONS[n][a:b], "start": a, "end": b, "boxes_xywh": boxes[: 1 + place % 3]}
            for place, (a, b) in enumerate(spans)
        ]}
        for n, spans in enumerate(SPANS)
    ]  # fmt: skip
    (source / "phrases.json").write_text(json.dumps(phrases))
    import_gold("coco-phrases", source, folder / "human")
    return _with_plain_keys(folder / "human")


def _with_plain_keys(dataset: Path) -> Path:
    """Under the pictures' names, as the other formats number captions of one picture alone."""
    store = Store(dataset)
    samples = [
        LabelledImage(sample.labels.model_copy(update={"key": name}), sample.image, sample.extension)
        for sample, name in zip(samples_in(dataset), "abc", strict=True)
    ]
    write_shard(store, UnitRef(0, "phrases.json", 0, 3), samples, [], work_digest="0" * 64, stages=[])
    return dataset


def pseudo_dataset(folder: Path) -> Path:
    """Three samples; of one box the teacher is sure, one has no area."""
    scores = [("sample-one", [0.9, 0.2]), ("sample-two", [0.6]), ("sample-three", [0.1])]
    samples = []
    for key, found in scores:
        picture = folder.parent / f"{key}.png"
        Image.new("RGB", (WIDTH, HEIGHT), "red").save(picture)
        content = picture.read_bytes()
        boxes = [(0, (1.25, 2, 30, 40), score) for score in found]
        if key == "sample-one":
            boxes.append((0, (5, 5, 5, 9), 0.99))
        digest = hashlib.sha256(content).hexdigest()
        labels = labels_of("a dog", ["a dog"], boxes, key=key, size=(WIDTH, HEIGHT), image_sha256=digest, **MADE)
        samples.append(LabelledImage(labels, content, "png"))
    store = Store(folder)
    card = DatasetCard(
        origin="pseudo",
        task="grounding",
        source_fingerprint=digest_of("source"),
        **MADE,
        complete=True,
    )
    write_shard(store, UnitRef(0, "web.tar", 0, 3), samples, [], work_digest="0" * 64, stages=[])
    write_card(store, card)
    return folder
