"""Which boxes a report is of: the dataset's own selection or another, duplicates, reviewers' verdicts, human boxes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from counted_datasets import CARD, Counted, counted_dataset
from verdict_samples import said

from engine.artifacts import Store
from engine.duplicates import DUPLICATES, EXACT, NEAR, read_duplicates, write_duplicates
from engine.gold import import_gold
from engine.review.verdicts import append_verdicts, read_verdicts
from engine.selection import resolve_selection, select_with_reasons
from engine.shards import write_card
from engine.statistics import dataset_report, statistics_of
from engine.statistics.comparison import compare
from engine.view import View
from schemas.recipes import ScenesSource
from schemas.shards import DUPLICATE_SCHEMA, SampleLabels


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return counted_dataset(tmp_path / "web")


def boxes_of(samples: list[SampleLabels]) -> int:
    return sum(len(labels.boxes) for labels in samples)


def test_the_dataset_s_own_selection_is_taken_where_none_is_asked_for(counted: Counted) -> None:
    folder = counted.folder
    write_card(Store(folder), CARD.model_copy(update={"selection": "grit"}))
    assert dataset_report(folder) == dataset_report(folder, "grit")
    write_card(Store(folder), CARD.model_copy(update={"selection": {"min_score": 0.5}}))
    assert dataset_report(folder).numbers == dataset_report(folder, "glip").numbers


def test_human_boxes_are_not_selected(counted: Counted) -> None:
    write_card(Store(counted.folder), CARD.model_copy(update={"origin": "human", "teacher_digest": None}))
    report = dataset_report(counted.folder, "glip")
    assert (report.selection, report.box_selection) == (None, None)
    assert report.number("boxes") == boxes_of(counted.labels())
    assert [stage.stage for stage in report.stages] == ["read", "phrases", "ground"]


def test_of_human_data_nothing_is_told_that_nobody_measured(counted: Counted, tmp_path: Path) -> None:
    dataset = tmp_path / "human"
    import_gold("scenes", ScenesSource(count=3, seed=5), dataset)
    report = dataset_report(dataset)
    assert not [one.name for one in (*report.numbers, *report.histograms) if one.section == "scores"]
    assert [one.name for one in report.numbers if one.section == "cost" and one.value is not None] == []
    with statistics_of([counted.folder, dataset], "all") as [pseudo, human]:
        assert "scores" not in [one.name for one in compare(pseudo, human, "").drifts]


def test_what_is_no_dataset_and_no_preset_is_said(counted: Counted, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a dataset"):
        dataset_report(tmp_path)
    with pytest.raises(ValueError, match="no selection 'best'"):
        dataset_report(counted.folder, "best")


def test_hosts_are_told_of_lists_of_urls_alone(counted: Counted) -> None:
    assert dataset_report(counted.folder).link_rot
    write_card(Store(counted.folder), CARD.model_copy(update={"recipe": {"source": {"kind": "webdataset"}}}))
    assert dataset_report(counted.folder).link_rot == []


def test_an_agreement_is_not_asked_of_one_teacher(counted: Counted) -> None:
    with pytest.raises(ValueError, match="labelled by one teacher"):
        dataset_report(counted.folder, {"min_agreement": 0.5})


def test_a_calibrated_selection_tells_what_it_keeps_of_each_group(
    counted: Counted, tmp_path: Path, write_calibration: object
) -> None:
    assert callable(write_calibration)
    path = tmp_path / "calibration.json"
    write_calibration(path, "t", {"unseen/large": [(0.6, 0.4)], "unseen/medium": [(0.6, 0.7)]})
    chosen = {"preset": "calibrated", "calibration": str(path), "precision": 0.5}
    report = dataset_report(counted.folder, chosen)
    kept = [select_with_reasons(labels, chosen)[0] for labels in counted.labels()]
    assert report.number("boxes") == boxes_of(kept)
    assert report.calibration is not None
    groups = {one.group: one for one in report.calibration.groups}
    assert sum(one.candidate_boxes for one in groups.values()) == boxes_of(counted.labels())
    assert groups["unseen/large"].boxes + groups["unseen/medium"].boxes == boxes_of(kept) > 0
    assert (groups["unseen/large"].min_score, groups["unseen/small"].min_score) == (0.4, None)
    assert report.calibration.precision == 0.5


def leave_out(counted: Counted, unit: int, rows: list[int]) -> None:
    """A view of duplicates as `dedupe` writes it."""
    columns = [
        {
            "unit": unit,
            "row": row,
            "key": counted.samples[unit][row].labels.key,
            "reason": reason,
            "of_key": "k",
            "distance": 1,
        }
        for row, reason in zip(rows, (EXACT, NEAR, NEAR), strict=False)
    ]
    table = pa.Table.from_pylist(columns, DUPLICATE_SCHEMA)
    write_duplicates(Store(counted.folder), table, counted.manifests, by="image", max_distance=6)


@pytest.mark.parametrize("sample_without_box", [False, True])
def test_duplicates_are_left_out_by_their_row(tmp_path: Path, sample_without_box: bool) -> None:
    """Rows are of the shard: a sample that has no box there has no row in the table."""
    counted = counted_dataset(tmp_path / "web", bare=(1, 2) if sample_without_box else None)
    leave_out(counted, 1, [0, 5, 9])
    rest = [
        one.labels
        for unit, found in enumerate(counted.samples)
        for row, one in enumerate(found)
        if (unit, row) not in {(1, 0), (1, 5), (1, 9)}
    ]
    kept = [select_with_reasons(labels, "glip")[0] for labels in rest]
    report = dataset_report(counted.folder, "glip")
    assert report.number("boxes") == boxes_of(kept)
    assert (report.number(EXACT), report.number(NEAR)) == (1, 2)
    assert report.box_selection is not None
    assert report.box_selection.dropped["sample_duplicate"] == boxes_of(counted.labels()) - boxes_of(rest)
    assert [stage.stage for stage in report.stages[-2:]] == ["dedupe", "selection"]
    assert read_duplicates(Store(counted.folder), counted.manifests).digest is not None
    (counted.folder / DUPLICATES).unlink()


@pytest.mark.parametrize("preset", ["all", "grit"])
def test_reviewers_verdicts_come_before_the_selection(counted: Counted, preset: str) -> None:
    store, labels = Store(counted.folder), counted.labels()
    verdicts = []
    for number, one in enumerate(labels[::7]):
        box = one.boxes[0]
        word = ("accepted", "rejected")[number % 2]
        verdicts.append(said(one, box.phrase, word, box.box_xyxy))  # type: ignore[arg-type]
    drawn = (1.0, 1.0, 9.0, 9.0)
    verdicts.append(said(labels[5], 0, "added", drawn, drawn))
    append_verdicts(store, verdicts)
    view = View(resolve_selection(preset), verdicts=read_verdicts(store))
    selected = [view.seen(one) for one in labels]
    report = dataset_report(counted.folder, preset)
    assert report.number("boxes") == boxes_of([kept for kept, _ in selected])
    assert report.number("images") == sum(bool(kept.boxes) for kept, _ in selected)
    dropped = Counter[str]()
    for _, reasons in selected:
        dropped.update(reasons)
    assert report.box_selection is not None
    assert report.box_selection.dropped == dropped
    assert dropped["rejected_by_reviewer"] > 0
