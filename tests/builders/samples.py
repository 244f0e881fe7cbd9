"""Samples of human datasets without pictures: for tests of metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence

from sample_labels import labels_of

from schemas.records import BoxXYXY
from schemas.shards import SampleBox, SampleLabels

Gold = list[tuple[str, BoxXYXY]]


def grounding_sample(
    picture: str, phrases: dict[str, list[BoxXYXY]], caption_number: int = 0, *, side: int = 200
) -> SampleLabels:
    """A caption of a square picture: its phrases with the boxes of each, joined by "and"."""
    boxes = [
        SampleBox(phrase=number, box_xyxy=box, score=1.0)
        for number, of_phrase in enumerate(phrases.values())
        for box in of_phrase
    ]
    return _sample(f"{picture}-{caption_number}", picture, phrases, " and ", boxes, side)


def detection_sample(
    key: str,
    gold: Gold,
    absent: list[str] | None = None,
    incomplete: list[str] | None = None,
    *,
    classes: Sequence[str] | None = None,
    side: int = 200,
    difficult: Collection[int] = (),
) -> SampleLabels:
    """A sample of a detection dataset: its caption is the names of the classes that occur, in the order of ``classes``
    or of the alphabet. ``difficult`` are places in ``gold``."""
    found = {name for name, _ in gold}
    names = sorted(found) if classes is None else [name for name in classes if name in found]
    boxes = [
        SampleBox(phrase=names.index(name), box_xyxy=box, score=1.0, difficult=place in difficult or None)
        for place, (name, box) in enumerate(gold)
    ]
    sample = _sample(key, key, names, ". ", boxes, side)
    return sample.model_copy(update={"absent_classes": absent, "incomplete_classes": incomplete})


def _sample(
    key: str,
    picture: str,
    names: Iterable[str],
    separator: str,
    boxes: list[SampleBox],
    side: int,
) -> SampleLabels:
    caption, spans = "", []
    for name in names:
        spans.append((len(caption), len(caption) + len(name), name))
        caption += name + separator
    digest = hashlib.sha256(picture.encode()).hexdigest()
    labels = labels_of(caption, spans, key=key, size=(side, side), image_sha256=digest)
    return labels.model_copy(update={"boxes": boxes})
