"""Reviewers' verdicts as evidence for a calibration: a box with a score that somebody judged is right or wrong.

In: the verdicts of a dataset, and its annotation tables. Out: :class:`~engine.calibration.Evidence` with a row for each
stored box that a verdict is about (:func:`engine.review.selecting.match_verdicts`). A rejected box is wrong; any other
one is right if its IoU with the reviewer's box is 0.5 or more. If the dataset was labelled again, verdicts on the
earlier labels judge the current ones. A reviewer's box that matches no stored box is no evidence for a score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.artifacts import Store
from engine.calibration import MIN_IOU, NO_EVIDENCE, Evidence, group_number
from engine.dataset.annotation_tables import read_whole_tables
from engine.review.selecting import PlacedBox, iou, match_verdicts
from engine.review.verdicts import CaptionKey, Verdicts
from engine.selecting.calibrated_scores import box_size_of_share
from engine.selecting.columns import SCORE_DECIMALS
from schemas.calibration import Frequency
from schemas.records import BoxXYXY
from schemas.shards import ANNOTATION_SCHEMA, CORNERS
from schemas.verdicts import Verdict

_COLUMNS = ("key", "image_sha256", "caption_sha256", "start", "end", *CORNERS, "score", "head_lemma", "width", "height")
_SCHEMA = pa.schema([ANNOTATION_SCHEMA.field(name) for name in _COLUMNS])
Row = dict[str, Any]


def verdict_evidence(
    store: Store, units: Sequence[int], verdicts: Verdicts, frequencies: Mapping[str, Frequency]
) -> Evidence:
    """The judged boxes of ``units``; without any, columns are empty. A caption that is stored twice counts once.
    ValueError where a table cannot be read."""
    found: list[tuple[float, bool, int, int]] = []
    pictures: dict[str, int] = {}
    done: set[CaptionKey] = set()
    for caption, rows in _captions(store, units, verdicts):
        if caption in done:
            continue
        done.add(caption)
        picture = pictures.setdefault(caption[0], len(pictures))
        about = verdicts.by_caption[caption]
        for verdict, place in zip(about, match_verdicts(about, [_placed(row) for row in rows]), strict=True):
            if place is not None:
                row = rows[place]
                score = round(row["score"], SCORE_DECIMALS)  # as in every reader of the tables
                found.append((score, is_right(verdict, _placed(row)[1]), _group(row, frequencies), picture))
    return Evidence(*map(np.array, zip(*found, strict=True))) if found else NO_EVIDENCE


def together(parts: Sequence[Evidence]) -> Evidence:
    """Concatenate the evidence of several sources; pictures of different sources count as different ones."""
    offsets = np.cumsum([0, *(int(part.pictures.max(initial=-1)) + 1 for part in parts)])
    moved = (replace(part, pictures=part.pictures + offset) for part, offset in zip(parts, offsets, strict=False))
    return Evidence.of_parts([*moved])


def _captions(store: Store, units: Sequence[int], verdicts: Verdicts) -> Iterator[tuple[CaptionKey, list[Row]]]:
    """The stored boxes of each reviewed caption, sample by sample."""
    images = pa.array(sorted({image for image, _ in verdicts.by_caption}), pa.string())
    for _, table in read_whole_tables(store, units if len(images) else (), _SCHEMA):
        rows = table.filter(pc.is_in(table["image_sha256"], images)).to_pylist()
        for _, of_sample in groupby(rows, key=lambda row: row["key"]):
            boxes = list(of_sample)
            caption = (boxes[0]["image_sha256"], boxes[0]["caption_sha256"])
            if caption in verdicts.by_caption:
                yield caption, boxes


def _placed(row: Row) -> PlacedBox:
    return (row["start"], row["end"]), (row["x1"], row["y1"], row["x2"], row["y2"])


def is_right(verdict: Verdict, box_xyxy: BoxXYXY) -> bool:
    """Whether the stored box that a verdict is about is right."""
    return verdict.verdict != "rejected" and iou(box_xyxy, verdict.true_xyxy) >= MIN_IOU


def _group(row: Row, frequencies: Mapping[str, Frequency]) -> int:
    share = (row["x2"] - row["x1"]) * (row["y2"] - row["y1"]) / (row["width"] * row["height"])
    return group_number(frequencies.get(row["head_lemma"].lower(), "unseen"), box_size_of_share(share))
