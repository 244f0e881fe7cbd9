"""Small datasets with pictures, as labelling would leave them: for tests of the report and of its page."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pyarrow as pa
from pictures import saved
from PIL import Image
from sample_labels import labels_of

from engine.artifacts import Store
from engine.duplicates import EXACT, write_duplicates
from engine.shards import LabelledImage, read_manifests, write_card, write_shard
from schemas.records import BoxXYXY, Reject, UnitRef
from schemas.reports import StageCounts
from schemas.shards import DUPLICATE_SCHEMA, DatasetCard

HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'
CARD = DatasetCard(
    origin="pseudo", task="grounding", source_fingerprint="s" * 64, recipe_digest="r" * 64, complete=True
)


def encoded(size: tuple[int, int] = (160, 120), colour: str = "teal") -> bytes:
    """A JPEG of one colour."""
    return saved(Image.new("RGB", size, colour), "JPEG")


def sample(
    key: str,
    caption: str,
    spans: list[tuple[int, int]],
    boxes: list[tuple[int, BoxXYXY, float]],
    image: bytes | None = None,
    *,
    locator: str = "test",
    size: tuple[int, int] = (160, 120),
) -> LabelledImage:
    """A labelled picture; ``boxes`` are (number of the phrase, box, score)."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    labels = labels_of(caption, spans, boxes, key=key, size=size, image_sha256=digest, locator=locator)
    return LabelledImage(labels, image or encoded(size), "jpg")


def dog(number: int) -> LabelledImage:
    """A dog at 0.9, a tree at 0.6."""
    return sample(
        f"{number:03d}", "a dog by a tree", [(0, 5), (9, 15)], [(0, (10, 10, 60, 80), 0.9), (1, (80, 5, 150, 110), 0.6)]
    )


def crowded(count: int, seed: int, *, least: int = 0) -> list[LabelledImage]:
    """Samples of ``least`` to five boxes of any score that overlap; phrases hold others, some are abstract."""
    random, samples = Random(seed), []
    for number in range(count):
        boxes: list[tuple[int, BoxXYXY, float]] = []
        for _ in range(random.randrange(least, 6)):
            x, y, side = random.randrange(60), random.randrange(60), random.choice((5, 40, 60))
            boxes.append((random.randrange(5), (x, y, x + side, y + side), round(random.random(), 4)))
        spans = [(0, 5), (0, 24), (9, 16), (20, 24), (26, 34)]
        samples.append(sample(f"{number:03d}", "a dog in a field of love, the time", spans, boxes))
    return samples


def write_dataset(folder: Path, samples: list[LabelledImage], card: DatasetCard = CARD, *, units: int = 1) -> Path:
    """The samples in so many units of equal size, each with one unreadable picture among its rejects."""
    store, each = Store(folder), -(-len(samples) // units)
    for unit in range(units):
        rejects = [Reject(f"bad{unit}", "read", "image_unreadable", HOSTILE)]
        own = samples[unit * each : (unit + 1) * each]
        rows = len(own) + 1
        stages = [StageCounts(stage="read", came_in=rows, went_on=rows - 1, dropped={"image_unreadable": 1})]
        ref = UnitRef(unit, "test", unit * each, rows)
        write_shard(store, ref, own, rejects, work_digest="w", stages=stages)
    write_card(store, card)
    return folder


def leave_out(folder: Path, rows: Iterable[int]) -> None:
    """A view of duplicates as `dedupe` writes it, over these rows of the first unit."""
    columns = [
        {"unit": 0, "row": row, "key": f"{row:03d}", "reason": EXACT, "of_key": "000", "distance": 0} for row in rows
    ]
    store = Store(folder)
    table = pa.Table.from_pylist(columns, DUPLICATE_SCHEMA)
    write_duplicates(store, table, read_manifests(store), by="image", max_distance=6)
