"""COCO files of two small pictures, with boxes or with captions and their phrases, for tests of imports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

CATEGORIES = [{"id": 7, "name": "traffic_light"}, {"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}]


def box_entry(image: int, category: int, bbox: list[float]) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0}


def detection_source(folder: Path, annotations: list[Any]) -> Path:
    source = folder / "source"
    images = _pictures(source)
    document = {"images": images, "categories": CATEGORIES, "annotations": annotations}
    (source / "instances.json").write_text(json.dumps(document))
    return source


def phrase_entry(caption: str, text: str, boxes: list[list[float]]) -> dict[str, Any]:
    start = caption.rindex(text)
    return {"phrase": text, "start": start, "end": start + len(text), "category": "x", "boxes_xywh": boxes}


def captions_source(folder: Path, captions: list[str], phrases: dict[int, list[Any]]) -> Path:
    source = folder / "source"
    annotations = [{"id": 100 + row, "image_id": 1, "caption": caption} for row, caption in enumerate(captions)]
    (source / "images").mkdir(parents=True)
    (source / "captions.json").write_text(json.dumps({"images": _pictures(source), "annotations": annotations}))
    entries = [{"caption_id": 100 + row, "image_id": 1, "phrases": found} for row, found in phrases.items()]
    (source / "phrases.json").write_text(json.dumps(entries))
    return source


def _pictures(source: Path) -> list[dict[str, Any]]:
    (source / "images").mkdir(parents=True, exist_ok=True)
    for name, colour in (("one.jpg", "red"), ("two.jpg", "blue"), ("a.b.jpg", "green")):
        Image.new("RGB", (100, 80), colour).save(source / "images" / name)
    return [{"id": n, "file_name": name, "width": 100, "height": 80} for n, name in ((1, "one.jpg"), (2, "two.jpg"))]
