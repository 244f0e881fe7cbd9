"""Selection from the tables of many samples at once against sample by sample: the same boxes, the same reasons."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
from hypothesis import given, settings

from engine.box_batches import BOX_SCHEMA, box_columns, joined, numbered
from engine.dataset.annotation_tables import StoredTable, in_schema
from engine.selecting.calibrated_scores import CalibratedScores
from engine.selecting.rules import RULES, select_rows
from engine.selection import Selection, resolve_selection, select_with_reasons
from engine.shards import annotation_table
from schemas.calibration import GROUPS
from schemas.shards import SampleBox, SampleLabels, SamplePhrase

WORDS = ("dog", "time", "cat", "love")
SIDE = 100
# Scores that float32 does not hold exactly, at the thresholds and beside them.
SCORES = st.sampled_from([0.1, 0.3, 0.3001, 0.5, 0.6, 0.65, 0.6501, 0.7, 0.9, 0.9999, 1.0])
CORNERS = st.tuples(*[st.integers(0, 10 * SIDE) for _ in range(4)])


@st.composite
def samples(draw: Any) -> SampleLabels:
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    caption = " ".join(words)
    ends = np.cumsum([len(word) + 1 for word in words]).tolist()
    starts = [0, *ends[:-1]]
    first, last = zip(
        *draw(st.lists(st.tuples(*[st.integers(0, len(words) - 1)] * 2), min_size=1, max_size=4)), strict=True
    )
    spans = [(starts[min(a, b)], ends[max(a, b)] - 1) for a, b in zip(first, last, strict=True)]
    phrases = [
        SamplePhrase(
            text=caption[start:end], start=start, end=end, head_lemma=caption[start:end].split()[-1].capitalize()
        )
        for start, end in spans
    ]
    boxes = []
    for _ in range(draw(st.integers(1, 8))):
        x1, y1, x2, y2 = (corner / 10 for corner in draw(CORNERS))
        box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        phrase = draw(st.integers(0, len(phrases) - 1))
        boxes.append(SampleBox(phrase=phrase, box_xyxy=box, score=draw(SCORES), agreement=draw(SCORES)))
    return SampleLabels(
        key=f"k{draw(st.integers(0, 10**9))}",
        caption=caption,
        phrases=phrases,
        boxes=boxes,
        width=SIDE,
        height=SIDE,
        image_sha256="0" * 64,
        locator="",
        teacher_digest="t",
        recipe_digest="r",
    )


CALIBRATED = CalibratedScores(
    calibration="c",
    teacher="t",
    precision=0.5,
    frequencies={"dog": "head", "time": "tail"},
    min_scores={name: (None, 0.3, 0.7)[number % 3] for number, name in enumerate(GROUPS)},
)
SELECTIONS = {
    **{name: resolve_selection(name) for name in ("all", "glip", "grit", "owl-st")},
    "calibrated": Selection(calibrated=CALIBRATED),
    "overlap": Selection(max_overlap=0.2),
    "contained": Selection(drop_contained=True, drop_abstract=True),
    "shares": Selection(min_box_share=0.1, max_box_share=0.7, drop_whole_image=True),
    "best few": Selection(max_boxes_per_phrase=1, min_agreement=0.3, min_best_score=0.6),
}


def stored(labels: list[SampleLabels], unit: int = 0) -> StoredTable:
    """As the annotation table of a unit is read."""
    return StoredTable(unit, in_schema(annotation_table(labels), BOX_SCHEMA))


def by_columns(tables: list[StoredTable], selection: Selection) -> tuple[Counter[Any], Counter[str]]:
    """The boxes that stay, and what was dropped."""
    [table] = joined(tables, rows=1 << 40)
    table, image = numbered(table)
    stays, dropped = select_rows(box_columns(table, image), selection)
    kept = table.filter(pa.array(stays)).select(["unit", "key", "phrase", "score", "x1", "y1"]).to_pylist()
    return Counter(tuple(row.values()) for row in kept), dropped


def one_by_one(units: list[list[SampleLabels]], selection: Selection) -> tuple[Counter[Any], Counter[str]]:
    kept: Counter[Any] = Counter()
    dropped: Counter[str] = Counter()
    for unit, labels in enumerate(units):
        for sample in labels:
            chosen, reasons = select_with_reasons(sample, selection)
            dropped.update(reasons)
            for box in chosen.boxes:
                numbers = (float(np.float32(value)) for value in (box.score, *box.box_xyxy[:2]))
                kept[(unit, sample.key, box.phrase, *numbers)] += 1
    return kept, dropped


@settings(max_examples=100)
@given(
    units=st.lists(st.lists(samples(), min_size=1, max_size=4, unique_by=lambda one: one.key), min_size=1, max_size=3)
)
def test_many_samples_at_once_keep_and_drop_what_each_does_alone(units: list[list[SampleLabels]]) -> None:
    tables = [stored(labels, unit) for unit, labels in enumerate(units)]
    for name, selection in SELECTIONS.items():  # drawing samples costs more than selecting from them
        assert by_columns(tables, selection) == one_by_one(units, selection), name


def test_every_field_of_a_selection_has_its_rule() -> None:
    assert {field for field, _ in RULES.values()} == set(Selection.model_fields)


def test_rows_of_an_image_that_do_not_stand_together_are_brought_together() -> None:
    table = stored([]).table
    rows = [{**dict.fromkeys(table.column_names), "key": key, "phrase": number} for number, key in enumerate("abacb")]
    mixed = pa.Table.from_pylist(rows, BOX_SCHEMA)
    [whole] = joined([StoredTable(0, mixed), StoredTable(1, mixed.slice(0, 1))], rows=100)
    table, image = numbered(whole)
    assert table["key"].to_pylist() == ["a", "a", "b", "b", "c", "a"]
    assert table["phrase"].to_pylist() == [0, 2, 1, 4, 3, 0]
    assert image.tolist() == [0, 0, 1, 1, 2, 3]


def test_nothing_to_select_is_nothing_selected() -> None:
    [table] = joined([stored([])])
    table, image = numbered(table)
    stays, dropped = select_rows(box_columns(table, image), SELECTIONS["grit"])
    assert (stays.tolist(), dropped) == ([], {})


def test_units_without_a_box_change_no_batch_however_many_they_are() -> None:
    """All pictures of a unit may be gone: a hundred thousand such units in a row are no reason to wait."""
    nothing, row = stored([]).table, {**dict.fromkeys(BOX_SCHEMA.names), "key": "a", "phrase": 0}
    one = pa.Table.from_pylist([row], BOX_SCHEMA)
    units = [StoredTable(unit, one if unit % 5_000 == 0 else nothing) for unit in range(20_000)]
    assert [table["unit"].to_pylist() for table in joined(iter(units), rows=3)] == [[0, 5_000, 10_000], [15_000]]
    assert [table["unit"].to_pylist() for table in joined(iter(units[1:5_000]), rows=3)] == [[]]
