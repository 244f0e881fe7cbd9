"""From a dataset's annotation tables to the rows of a report's tables: what readers of the dataset would see.

In: a store, its units, and the view that readers have of them. Out: filled
:class:`~engine.statistics.tables.StatisticsTables`. A unit whose table is broken is told of and left out. Reviewed
samples are few, and are read from their shard; all others from columns alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.artifacts import Store
from engine.box_batches import BOX_SCHEMA, Batch, batch_of, check_stored_agreement, codes, joined, numbered, texts
from engine.dataset.annotation_tables import StoredTable, TableFault, in_schema, read_unit_tables
from engine.dataset.shard_files import annotations_name
from engine.dataset.wholeness import Examination
from engine.review.verdicts import Verdicts
from engine.selecting.columns import Integers
from engine.selection import Selection
from engine.shards import ShardReader, annotation_table
from engine.statistics.review import VerdictRow, create_verdicts, insert_verdicts, verdict_rows
from engine.statistics.tables import StatisticsTables
from engine.view import View
from schemas.calibration import GROUPS
from schemas.shards import CORNERS, SampleLabels

REQUIRED = tuple(name for name in BOX_SCHEMA.names if name != "agreement")  # which one teacher alone has not


@dataclass
class Filled:
    """How many rows there are, what was dropped by reason, and by group of the calibration what came and was kept."""

    images: int = 0
    occurrences: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    came_by_group: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(GROUPS), np.int64))
    kept_by_group: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(GROUPS), np.int64))


def fill(tables: StatisticsTables, store: Store, found: Examination, view: View) -> Filled:
    """Fill ``images``, ``occurrences`` and ``boxes`` from the units that were found whole. RuntimeError where the store
    does not answer; ValueError where the selection asks for columns that the tables lack."""
    filled = Filled()
    create_verdicts(tables)
    for stored in joined(whole_tables(store, found, view.selection)):
        table, image = numbered(stored)
        table, image = _without_duplicates(table, image, store, found, view, filled)
        reviewed = _reviewed_rows(table, view.verdicts)
        if reviewed.any():
            of_reviewed = _from_shards(tables, table.filter(pa.array(reviewed)), store, view, filled)
            _insert(tables, of_reviewed, None, filled)
            table, image = table.filter(pa.array(~reviewed)), image[~reviewed]
        _insert(tables, (table, image), view.selection, filled)
    return filled


def whole_tables(store: Store, found: Examination, selection: Selection | None) -> Iterator[StoredTable]:
    """The annotation tables of the units that were found whole. A table that turns out to be broken is reported to
    ``found``."""
    for stored in read_unit_tables(store, sorted(found.manifests), BOX_SCHEMA):
        unit = stored.unit
        problem = stored.problem if isinstance(stored, TableFault) else _problem(stored, found.manifests[unit].boxes)
        if problem is not None:
            found.leave_out(unit, annotations_name(unit), problem)
        elif isinstance(stored, StoredTable):
            check_stored_agreement(stored, selection, f"{store.root}/{annotations_name(unit)}")
            yield stored


def _problem(stored: StoredTable, boxes: int) -> str | None:
    """Why the rows of a table are not valid boxes; None where they are."""
    table = stored.table
    if len(table) != boxes:
        return f"it has {len(table)} rows, its manifest says {boxes}"
    empty = [name for name in REQUIRED if table[name].null_count]
    if empty:
        return f"its column {empty[0]} has rows without a value"
    x1, y1, x2, y2, score, width, height = (table[name].to_numpy() for name in (*CORNERS, "score", "width", "height"))
    inside = (x1 >= 0) & (x1 <= x2) & (x2 <= width) & (y1 >= 0) & (y1 <= y2) & (y2 <= height)
    wrong = ~(inside & (width > 0) & (height > 0) & (score >= 0) & (score <= 1))
    if wrong.any():
        return f"{int(wrong.sum())} of its boxes are not inside their image, or have a score that is not from 0 to 1"
    return None


def _insert(
    tables: StatisticsTables, rows: tuple[pa.Table, Integers], selection: Selection | None, filled: Filled
) -> None:
    batch: Batch = batch_of(*rows, selection, filled.images, filled.occurrences)
    tables.insert("images", batch.images)
    tables.insert("occurrences", batch.occurrences)
    tables.insert("boxes", batch.boxes)
    filled.images += len(batch.images)
    filled.occurrences += len(batch.occurrences)
    filled.dropped += batch.dropped
    filled.came_by_group += batch.came_by_group
    filled.kept_by_group += batch.kept_by_group


# ------------------------------------------------------------------------------------------- duplicates and verdicts


def _without_duplicates(
    table: pa.Table, image: Integers, store: Store, found: Examination, view: View, filled: Filled
) -> tuple[pa.Table, Integers]:
    if not len(view.duplicates) or not len(table):
        return table, image
    out = np.zeros(len(table), dtype=bool)
    units = table["unit"].to_numpy()
    for unit in np.unique(units).tolist():
        left_out = view.duplicates.of(unit)
        if left_out:
            of_unit = np.flatnonzero(units == unit)
            rows = _shard_rows(table, image, of_unit, store, found.manifests[unit].samples)
            out[of_unit] = np.isin(rows, sorted(left_out))
    filled.dropped["sample_duplicate"] += int(out.sum())
    return table.filter(pa.array(~out)), image[~out]


def _shard_rows(table: pa.Table, image: Integers, of_unit: Integers, store: Store, samples: int) -> Integers:
    """For each row of a unit's table, the row of its sample in the shard. Samples have the same order in both; one
    without a box has no row in the table, so the shard is read where such samples exist."""
    number: Integers = image[of_unit] - image[of_unit[0]]
    if number[-1] + 1 == samples:
        return number
    keys = table["key"].take(pa.array(of_unit)).to_pylist()
    with ShardReader(store, int(table["unit"][int(of_unit[0])].as_py())) as reader:
        rows = [reader.row_of(key) for key in keys]
    return np.array([-1 if row is None else row for row in rows], dtype=np.int64)


def _reviewed_rows(table: pa.Table, verdicts: Verdicts) -> NDArray[np.bool_]:
    """Which rows are of a caption that somebody has judged."""
    if not len(verdicts) or not len(table):
        return np.zeros(len(table), dtype=bool)
    image, caption = codes(table, "image_sha256"), codes(table, "caption_sha256")
    images = {text: number for number, text in enumerate(texts(table, "image_sha256").to_pylist())}
    captions = {text: number for number, text in enumerate(texts(table, "caption_sha256").to_pylist())}
    judged = [
        images[one] * len(captions) + captions[other]
        for one, other in verdicts.by_caption
        if one in images and other in captions
    ]
    found: NDArray[np.bool_] = np.isin(image * len(captions) + caption, judged)
    return found


def _from_shards(
    tables: StatisticsTables, table: pa.Table, store: Store, view: View, filled: Filled
) -> tuple[pa.Table, Integers]:
    """The rows of reviewed samples as readers see them, of their labels in the shards; their verdicts are inserted."""
    wanted: defaultdict[int, set[str]] = defaultdict(set)
    for unit, key in zip(table["unit"].to_pylist(), table["key"].to_pylist(), strict=True):
        wanted[unit].add(key)
    found = []
    judged: list[VerdictRow] = []
    for unit, keys in sorted(wanted.items()):
        kept: list[SampleLabels] = []
        with ShardReader(store, unit) as reader:
            for row in sorted(row for key in keys if (row := reader.row_of(key)) is not None):
                stored = reader.labels(row)
                judged += verdict_rows(stored, view.verdicts.of(stored), view.selection)
                selected, dropped = view.seen(stored)
                kept.append(selected)
                filled.dropped.update(dropped)
        found.append(StoredTable(unit, in_schema(annotation_table(kept), BOX_SCHEMA)))
    insert_verdicts(tables, judged)
    [joined_rows] = joined(found, rows=1 << 40)
    return numbered(joined_rows)
