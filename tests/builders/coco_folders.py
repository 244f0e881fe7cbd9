"""Small detection datasets in COCO's layout: coloured squares, each class its own colour."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from engine.gold import import_gold

COLOURS = {"cat": "orange", "dog": "brown", "bird": "blue"}
SIDE, BOX = 96, 40


def coco_dataset(folder: Path, pictures: Sequence[Sequence[str]]) -> Path:
    """Imports a picture for each list of class names, with a square for each name; returns the dataset."""
    source = folder.with_name(f"{folder.name}-coco")
    (source / "images").mkdir(parents=True)
    categories = [{"id": number, "name": name} for number, name in enumerate(COLOURS, 1)]
    images, boxes = [], []
    for number, names in enumerate(pictures, 1):
        image = Image.new("RGB", (SIDE, SIDE), (number * 7 % 256, 120, 90))
        for place, name in enumerate(names):
            corner = (place * 50 + number % 5, 30 + number % 7)
            image.paste(COLOURS[name], (*corner, corner[0] + BOX, corner[1] + BOX))
            one = {"id": len(boxes) + 1, "image_id": number, "category_id": list(COLOURS).index(name) + 1}
            boxes.append({**one, "bbox": [*corner, BOX, BOX], "area": BOX * BOX, "iscrowd": 0})
        image.save(source / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE})
    content = {"images": images, "annotations": boxes, "categories": categories}
    (source / "instances.json").write_text(json.dumps(content))
    import_gold("coco", source, folder)
    return folder
