"""The labels of one sample, of as little as a test says of it; and units of samples, committed as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.artifacts import Store
from engine.shards import LabelledImage, write_card, write_shard
from schemas.records import BoxXYXY, UnitRef
from schemas.shards import DatasetCard, SampleBox, SampleLabels, SamplePhrase, ShardManifest

Span = str | tuple[int, int] | tuple[int, int, str]
Box = tuple[int, BoxXYXY, float]


def labels_of(
    caption: str,
    phrases: Iterable[Span],
    boxes: Iterable[Box] = (),
    *,
    size: tuple[int, int] = (100, 100),
    **fields: Any,
) -> SampleLabels:
    """Phrases are texts that stand in the caption, or half-open spans of it, with the lemma of the head where that is
    not the last word. Boxes are (number of the phrase, box, score). ``fields`` are the other fields of labels."""
    rest = {"key": "k", "image_sha256": "0" * 64, "locator": "test", "recipe_digest": "r"}
    return SampleLabels(
        caption=caption,
        phrases=[_phrase(caption, one) for one in phrases],
        boxes=[SampleBox(phrase=phrase, box_xyxy=box, score=score) for phrase, box, score in boxes],
        width=size[0],
        height=size[1],
        **(rest | fields),
    )


def _phrase(caption: str, span: Span) -> SamplePhrase:
    if isinstance(span, str):
        span = (caption.index(span), caption.index(span) + len(span))
    start, end, *head = span
    text = caption[start:end]
    return SamplePhrase(text=text, start=start, end=end, head_lemma=head[0] if head else text.split()[-1])


def write_units(
    store: Store, units: Iterable[Sequence[LabelledImage]], *, origin: str | None = None, every: int = 1
) -> list[ShardManifest]:
    """Commit the units, numbered 0, ``every``, ...; with a card of grounding data where an ``origin`` is given."""
    if origin is not None:
        write_card(store, DatasetCard(origin=origin, task="grounding", source_fingerprint="s", recipe_digest="r"))
    return [
        write_shard(store, UnitRef(every * n, "u", 0, len(samples)), samples, [], work_digest="w", stages=[])
        for n, samples in enumerate(units)
    ]
