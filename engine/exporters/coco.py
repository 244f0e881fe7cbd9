"""Writer of COCO detection JSON: ``instances.json``.

In: samples. Out: ``images``, ``annotations`` (xywh pixels; of pseudo-labels with their ``score``), ``categories``. Each
image has its sample's ``key`` too, which readers of COCO pass over. Source: cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from engine.artifacts import Store
from engine.exporters.categories import Categories
from engine.exporters.documents import json_lists, xywh
from schemas.shards import DatasetCard, SampleLabels

FIRST = 1  # number of images, annotations and categories: pycocotools takes 0 for "no match"


@contextmanager
def coco(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``instances.json``."""
    categories, image_ids, box_ids = Categories(card), count(FIRST), count(FIRST)
    with json_lists(store, "instances.json", ("images", "annotations")) as document:

        def add(labels: SampleLabels, file_name: str) -> None:
            image_id = next(image_ids)
            document.add("images", image_entry(image_id, labels, file_name))
            for box in labels.boxes:
                corner_size = xywh(box.box_xyxy)
                annotation = {
                    "id": next(box_ids),
                    "image_id": image_id,
                    "category_id": FIRST + categories.number(labels.phrases[box.phrase]),
                    "bbox": corner_size,
                    "area": round(corner_size[2] * corner_size[3], 6),
                    "iscrowd": 0,
                }
                score = {} if card.origin == "human" else {"score": box.score}
                document.add("annotations", annotation | score)

        yield add
        names = enumerate(categories.names(), start=FIRST)
        document.rest["categories"] = [{"id": number, "name": name} for number, name in names]


def image_entry(image_id: int, labels: SampleLabels, file_name: str) -> dict[str, object]:
    """An entry of ``images``."""
    size = {"width": labels.width, "height": labels.height}
    return {"id": image_id, "file_name": file_name, **size, "key": labels.key}
