"""What a report says of reviewers' verdicts, against counts by hand; of what nobody reviewed it says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_datasets import CARD, HOSTILE, dog, leave_out, sample, write_dataset
from verdict_samples import said

from engine.artifacts import Store
from engine.box_tables import box_database
from engine.calibration import wilson_lower
from engine.review.verdicts import append_verdicts
from engine.statistics import dataset_report
from schemas.dataset_report import DatasetReport
from schemas.verdicts import Verdict

DOG, TREE = (10.0, 10.0, 60.0, 80.0), (80.0, 5.0, 150.0, 110.0)  # of 0.9 and 0.6
NEAR, FAR = (12.0, 12.0, 60.0, 80.0), (100.0, 60.0, 160.0, 120.0)
LABELS = [dog(number).labels for number in range(6)]


def verdicts() -> list[Verdict]:
    return [
        said(LABELS[0], 0, "rejected", DOG),
        said(LABELS[0], 0, "accepted", DOG, reviewer=HOSTILE),  # the later one holds
        said(LABELS[0], 1, "rejected", TREE),
        said(LABELS[1], 0, "corrected", DOG, NEAR),
        said(LABELS[1], 1, "corrected", TREE, FAR, reviewer="bob"),
        said(LABELS[2], 1, "accepted", TREE),
        said(LABELS[2], 1, "added", FAR, FAR),
        said(LABELS[3], 0, "rejected", DOG),
        said(LABELS[3], 0, "withdrawn", DOG),
        said(LABELS[4], 0, "rejected", FAR),  # no box is there
    ]


@pytest.fixture
def dogs(tmp_path: Path) -> Path:
    folder = write_dataset(tmp_path / "dogs", [dog(number) for number in range(6)], units=2)
    append_verdicts(Store(folder), verdicts())
    return folder


def review_of(report: DatasetReport) -> dict[str, float | None]:
    return {one.name: one.value for one in report.numbers if one.section == "review"}


def counts_of(report: DatasetReport) -> list[float | None]:
    """Judged, their pictures, accepted, corrected, rejected, added, reviewers."""
    names = ("judged_boxes", "judged_images", "accepted_boxes", "corrected_boxes", "rejected_boxes")
    return [report.number(name) for name in (*names, "boxes_of_reviewers", "reviewers")]


def test_the_selection_s_boxes_are_counted_by_what_was_said_of_them(dogs: Path) -> None:
    report = dataset_report(dogs, "all")
    assert counts_of(report) == [5, 3, 2, 2, 1, 1, 3]
    assert report.number("judged_precision") == pytest.approx(3 / 5), "two accepted, one nearly right as it was"
    assert all(one.sql and one.definition for one in report.numbers if one.section == "review")


def test_boxes_below_the_selection_are_not_judged_but_may_be_added(dogs: Path) -> None:
    report = dataset_report(dogs, {"min_score": 0.7})
    assert counts_of(report) == [2, 2, 1, 1, 0, 3, 3], "of the trees one is accepted, one corrected, one drawn"
    assert report.number("judged_precision") == 1
    assert report.number("boxes") == 6 + 3


def test_the_interval_is_wilson_s_over_pictures(dogs: Path) -> None:
    for selection, share, pictures in (("all", 3 / 5, 3), ({"min_score": 0.7}, 1.0, 2)):
        report = dataset_report(dogs, selection)  # type: ignore[arg-type]
        low, high = wilson_lower(share, pictures, 0.975), 1 - wilson_lower(1 - share, pictures, 0.975)
        assert report.number("judged_precision_low") == pytest.approx(low, abs=1e-8)
        assert report.number("judged_precision_high") == pytest.approx(high, abs=1e-8)


def test_where_nothing_of_the_selection_was_judged_no_precision_is_told(dogs: Path) -> None:
    report = dataset_report(dogs, {"min_score": 0.95})
    assert counts_of(report)[:2] == [0, 0]
    shares = ("judged_precision", "judged_precision_low", "judged_precision_high")
    assert [report.number(name) for name in shares] == [None] * 3


def test_human_boxes_are_judged_without_a_selection(tmp_path: Path) -> None:
    card = CARD.model_copy(update={"origin": "human"})
    folder = write_dataset(tmp_path / "people", [dog(number) for number in range(6)], card)
    append_verdicts(Store(folder), verdicts())
    assert counts_of(dataset_report(folder)) == [5, 3, 2, 2, 1, 1, 3]


def test_nothing_is_told_of_a_dataset_that_nobody_reviewed(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dogs", [dog(0)])
    elsewhere = said(LABELS[5], 0, "accepted", DOG)
    taken_back = [said(LABELS[0], 0, word, DOG) for word in ("accepted", "withdrawn")]  # type: ignore[arg-type]
    for some in ([], [elsewhere], taken_back):
        if some:
            append_verdicts(Store(folder), some)
        report = dataset_report(folder)
        assert review_of(report) == {}
        assert "verdicts" not in [one.name for one in report.tables]


def test_new_labels_are_judged_by_what_was_said_of_the_old_ones(tmp_path: Path) -> None:
    moved = sample("001", "a dog by a tree", [(0, 5)], [(0, (12, 10, 62, 80), 0.8), (0, FAR, 0.8)])
    folder = write_dataset(tmp_path / "dogs", [moved])
    said_before = [said(LABELS[1], 0, "rejected", DOG), said(LABELS[1], 0, "added", FAR, FAR)]
    append_verdicts(Store(folder), [*said_before, said(LABELS[1], 1, "accepted", TREE)])
    report = dataset_report(folder)
    assert counts_of(report) == [2, 1, 1, 0, 1, 0, 1], "a tree is no phrase any more, the drawn box has been found"


def test_duplicates_are_not_judged(dogs: Path) -> None:
    leave_out(dogs, [0])
    assert counts_of(dataset_report(dogs, "all")) == [3, 2, 1, 2, 0, 1, 2]


def test_the_table_of_verdicts_is_asked_by_its_sql(dogs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [table] = [one for one in dataset_report(dogs).tables if one.name == "verdicts"]
    monkeypatch.chdir(dogs)
    with box_database() as (connection, _):
        rows = connection.execute(table.sql).fetchall()
    assert table.rows == len(rows) == 7
    assert {reviewer for _, reviewer, _ in rows} == {"ann", "bob", HOSTILE}
