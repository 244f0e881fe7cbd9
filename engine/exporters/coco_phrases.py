"""Writer of captions with phrase boxes: ``captions.json`` (COCO captions) and ``phrases.json`` beside it.

In: samples. Out: for each sample an image and a caption, and each phrase with boxes: its half-open characters and its
boxes (xywh pixels). Source: cocodataset.org/#format-data for captions; the reader is :mod:`engine.gold.phrases`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from engine.artifacts import Store
from engine.exporters.coco import FIRST, image_entry
from engine.exporters.documents import json_bytes, json_items, json_lists, xywh
from schemas.shards import DatasetCard, SampleLabels


@contextmanager
def coco_phrases(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``captions.json`` and ``phrases.json``, the latter with an entry on each line."""
    numbers = count(FIRST)
    with (
        store.writing("phrases.json") as file,
        json_items(file, b"[", b"]\n") as item,
        json_lists(store, "captions.json", ("images", "annotations")) as document,
    ):

        def add(labels: SampleLabels, file_name: str) -> None:
            number = next(numbers)
            document.add("images", image_entry(number, labels, file_name))
            document.add("annotations", {"id": number, "image_id": number, "caption": labels.caption})
            item(json_bytes(_entry(number, labels)))

        yield add


def _entry(number: int, labels: SampleLabels) -> dict[str, object]:
    found = [
        {
            "phrase": phrase.text,
            "start": phrase.start,
            "end": phrase.end,
            "boxes_xywh": [xywh(box.box_xyxy) for box in labels.boxes if box.phrase == place],
        }
        for place, phrase in enumerate(labels.phrases)
    ]
    return {"caption_id": number, "image_id": number, "phrases": [phrase for phrase in found if phrase["boxes_xywh"]]}
