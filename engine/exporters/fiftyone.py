"""Writer of FiftyOne's FiftyOneImageDetectionDataset: ``labels.json``, pictures in ``data/``.

In: samples. Out: under each picture's name (without its extension, as the reader expects) a list of boxes: ``label``
(in a detection dataset the class, else the phrase's head noun), ``bounding_box`` (x, y, width, height as shares of the
picture), ``confidence`` for pseudo-labels, and as ``attributes`` the phrase and its characters. There is no
``classes``, since labels are words. Source: docs.voxel51.com, FiftyOneImageDetectionDataset. FiftyOne itself is not
used in tests, because it comes with a database server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from engine.artifacts import Store
from engine.exporters.categories import Categories
from engine.exporters.documents import json_bytes, json_items, xywh
from schemas.shards import DatasetCard, SampleBox, SampleLabels


@contextmanager
def fiftyone(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``labels.json``, with a picture on each line."""
    categories = Categories(card)
    with store.writing("labels.json") as file, json_items(file, b'{"labels": {\n', b"}}\n") as item:

        def add(labels: SampleLabels, file_name: str) -> None:
            boxes = [_detection(labels, box, card, categories) for box in labels.boxes]
            item(json_bytes(PurePosixPath(file_name).stem) + b": " + json_bytes(boxes))

        yield add


def _detection(labels: SampleLabels, box: SampleBox, card: DatasetCard, categories: Categories) -> dict[str, object]:
    x, y, width, height = xywh(box.box_xyxy)
    phrase = labels.phrases[box.phrase]
    place = [x / labels.width, y / labels.height, width / labels.width, height / labels.height]
    score = {} if card.origin == "human" else {"confidence": box.score}
    attributes = {"phrase": phrase.text, "start": phrase.start, "end": phrase.end}
    return {"label": categories.name(phrase), "bounding_box": place, "attributes": attributes, **score}
