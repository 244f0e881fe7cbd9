"""Writer of ODVG JSON Lines, the format of MM-Grounding-DINO: ``odvg.jsonl``.

In: samples. Out: a line for each: in a detection dataset its boxes by class, with ``label_map.json`` at the end; in a
grounding dataset the caption and a region for each box, since Open-GroundingDino reads no region of several boxes.
Source: see the reader, :mod:`engine.gold.odvg`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.artifacts import Store
from engine.exporters.categories import Categories
from engine.exporters.documents import json_bytes
from schemas.shards import DatasetCard, SampleBox, SampleLabels, SamplePhrase


@contextmanager
def odvg(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``odvg.jsonl`` and, for a detection dataset, ``label_map.json``."""
    categories = Categories(card)
    with store.writing("odvg.jsonl") as file:

        def add(labels: SampleLabels, file_name: str) -> None:
            line = {"filename": file_name, "height": labels.height, "width": labels.width}
            kind = _detection(labels, categories) if card.task == "detection" else _grounding(labels)
            file.write(json_bytes(line | kind) + b"\n")

        yield add
        if card.task == "detection":
            label_map = {str(number): name for number, name in enumerate(categories.names())}
            store.write("label_map.json", json_bytes(label_map) + b"\n")


def _detection(labels: SampleLabels, categories: Categories) -> dict[str, object]:
    instances = [
        {"bbox": list(box.box_xyxy), "label": categories.number(phrase), "category": categories.name(phrase)}
        for box in labels.boxes
        for phrase in [labels.phrases[box.phrase]]
    ]
    return {"detection": {"instances": instances}}


def _grounding(labels: SampleLabels) -> dict[str, object]:
    """Without white space before the caption, which mmdet's training would strip without moving the phrases."""
    caption = labels.caption.lstrip()
    before = len(labels.caption) - len(caption)
    regions = [_region(box, labels.phrases[box.phrase], before) for box in labels.boxes]
    return {"grounding": {"caption": caption, "regions": regions}}


def _region(box: SampleBox, phrase: SamplePhrase, before: int) -> dict[str, object]:
    span = [max(0, phrase.start - before), phrase.end - before]
    return {"bbox": list(box.box_xyxy), "phrase": phrase.text, "tokens_positive": [span]}
