"""Writer of COCO detection JSON: ``instances.json``.

In: samples. Out: ``images``, ``annotations`` (xywh pixels; pseudo-labels also have a ``score``; crowds, of human
datasets, are ``iscrowd``), ``categories``. Each image also has its sample's ``key``, which readers of COCO ignore.
Source: cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from engine.artifacts import Store
from engine.exporters.categories import Categories
from engine.exporters.documents import json_lists, xywh
from schemas.shards import DatasetCard, SampleBox, SampleCrowd, SampleLabels

FIRST = 1  # first id of images, annotations and categories: pycocotools uses 0 for "no match"


@contextmanager
def coco(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``instances.json``."""
    categories, image_ids, box_ids = Categories(card), count(FIRST), count(FIRST)
    with json_lists(store, "instances.json", ("images", "annotations")) as document:

        def add(labels: SampleLabels, file_name: str) -> None:
            image_id = next(image_ids)
            document.add("images", image_entry(image_id, labels, file_name))
            for box in labels.boxes:
                category_id = FIRST + categories.number(labels.phrases[box.phrase])
                score = {} if card.origin == "human" else {"score": box.score}
                document.add("annotations", box_entry(next(box_ids), image_id, category_id, box) | score)
            for crowd in labels.crowds or ():
                category_id = FIRST + categories.number_of(crowd.name)
                document.add("annotations", box_entry(next(box_ids), image_id, category_id, crowd))

        yield add
        names = enumerate(categories.names(), start=FIRST)
        document.rest["categories"] = [{"id": number, "name": name} for number, name in names]


def image_entry(image_id: int, labels: SampleLabels, file_name: str) -> dict[str, object]:
    """An entry of ``images``."""
    size = {"width": labels.width, "height": labels.height}
    return {"id": image_id, "file_name": file_name, **size, "key": labels.key}


def box_entry(number: int, image_id: int, category_id: int, box: SampleBox | SampleCrowd) -> dict[str, object]:
    """An entry of ``annotations``."""
    x, y, width, height = xywh(box.box_xyxy)
    ids = {"id": number, "image_id": image_id, "category_id": category_id}
    mask_area = box.area if isinstance(box, SampleBox) else None
    area = round(width * height, 6) if mask_area is None else mask_area
    return {**ids, "bbox": [x, y, width, height], "area": area, "iscrowd": int(isinstance(box, SampleCrowd))}
