"""The table of boxes beside a shard: one row for each box of its samples, in their order.

In: labels. Out: a table of ``ANNOTATION_SCHEMA``. Built by columns, each value of a sample or a phrase put down once
and repeated by Arrow: a row is a box, and there are billions of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.shards import ANNOTATION_SCHEMA, CORNERS, SampleLabels

_OF_SAMPLES = ("key", "width", "height", "image_sha256", "image_phash")
_OF_PHRASES = {"phrase_text": "text", "head_lemma": "head_lemma", "start": "start", "end": "end"}
_OF_BOXES = ("phrase", "score", "agreement")


def annotation_table(samples: Iterable[SampleLabels]) -> pa.Table:
    """The boxes of ``samples`` in order, one row each: ``ANNOTATION_SCHEMA``."""
    kept = [labels for labels in samples if labels.boxes]
    counts = np.array([len(labels.boxes) for labels in kept], dtype=np.int64)
    phrases = list(chain.from_iterable(labels.phrases for labels in kept))
    boxes = list(chain.from_iterable(labels.boxes for labels in kept))
    sample_of_box = np.repeat(np.arange(len(kept)), counts)
    first_phrase = np.cumsum([0, *(len(labels.phrases) for labels in kept)])[sample_of_box]
    columns: dict[str, Any] = {name: _column(name, [getattr(box, name) for box in boxes]) for name in _OF_BOXES}
    phrase_of_box = first_phrase + columns["phrase"].to_numpy()
    for name, field in _OF_PHRASES.items():
        columns[name] = _column(name, [getattr(phrase, field) for phrase in phrases]).take(pa.array(phrase_of_box))
    for name in _OF_SAMPLES:
        columns[name] = _column(name, [getattr(labels, name) for labels in kept]).take(pa.array(sample_of_box))
    captions = [hashlib.sha256(labels.caption.encode()).hexdigest() for labels in kept]
    columns["caption_sha256"] = _column("caption_sha256", captions).take(pa.array(sample_of_box))
    corners = np.array([box.box_xyxy for box in boxes], dtype=np.float64).reshape(-1, 4)
    columns |= {name: pa.array(corners[:, side].astype(np.float32)) for side, name in enumerate(CORNERS)}
    return pa.table([columns[name] for name in ANNOTATION_SCHEMA.names], schema=ANNOTATION_SCHEMA)


def _column(name: str, values: list[Any]) -> pa.Array:
    return pa.array(values, ANNOTATION_SCHEMA.field(name).type)
