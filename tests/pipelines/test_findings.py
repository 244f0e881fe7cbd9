"""What a report says stands out: each rule speaks from its bound on, names the numbers, and is silent below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_datasets import dog, sample, write_dataset

from engine.statistics import dataset_report
from pipelines.pages.findings import MAX_EXAMPLE, findings
from schemas.dataset_report import CaptionSample, DatasetReport, LanguageCount, RejectCount, Statistic, UnitTime
from schemas.dataset_vocabulary import HeadCount
from schemas.reports import StageCounts


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> DatasetReport:
    """A report that asks for nothing: the tests change one thing of it."""
    found = dataset_report(write_dataset(tmp_path_factory.mktemp("plain") / "dogs", [dog(1), dog(2)]))
    quiet = {"source_pairs": 100.0, "images": 100.0, "boxes": 200.0, "boxes_per_phrase": 1.2, "repeated_images": 0.0}
    return found.model_copy(
        update={"numbers": _numbers(found, quiet), "stages": [], "head_lemmas": [], "captions": None}
    )


def _numbers(report: DatasetReport, values: dict[str, float]) -> list[Statistic]:
    return [one.model_copy(update={"value": values.get(one.name, one.value)}) for one in report.numbers]


def texts(report: DatasetReport, **update: Any) -> list[str]:
    """What stands out beside the raw scores, of which every uncalibrated dataset is told."""
    found = findings(report.model_copy(update=update))
    return [one.text for one in found if not one.text.startswith("Scores are the teacher's own")]


def stage(name: str, came_in: int, dropped: dict[str, int]) -> StageCounts:
    return StageCounts(stage=name, came_in=came_in, went_on=came_in - sum(dropped.values()), dropped=dropped)


def test_of_a_plain_dataset_only_the_raw_scores_are_told(plain: DatasetReport) -> None:
    assert texts(plain) == []
    [one] = findings(plain)
    assert "glip-engine calibrate" in one.advice
    assert not one.act


def test_human_boxes_have_no_scores_to_calibrate(plain: DatasetReport) -> None:
    assert findings(plain.model_copy(update={"origin": "human"})) == []


def test_dropped_pairs_are_told_from_a_twentieth_on_with_the_reason_that_cost_most(plain: DatasetReport) -> None:
    few = [stage("read", 100, {"image_unreadable": 4}), stage("selection", 96, {"no_box_selected": 9})]
    assert texts(plain, stages=few) == []
    many = [stage("read", 100, {"timeout": 3, "http_404": 4}), stage("phrases", 93, {"no_phrase": 2})]
    assert texts(plain, stages=many) == ["Dropped: 9 of 100 (9 %) source pairs, 4 at the stage read: http 404."]
    one = [stage("read", 100, {"private_address": 100})]
    assert texts(plain, stages=one) == [
        "Dropped: 100 of 100 (100 %) source pairs, all at the stage read: private address."
    ]


def test_what_was_dropped_is_told_with_the_message_of_one(plain: DatasetReport) -> None:
    message = f"http://10.0.0.1/a.jpg:\n private; allow_private=true allows it {'x' * 500}"
    rejects = [
        RejectCount(stage="read", reason=reason, count=count, example=example)
        for reason, count, example in (("timeout", 1, "no answer"), ("private_address", 99, message))
    ]
    stages = [stage("read", 100, {one.reason: one.count for one in rejects})]
    first = findings(plain.model_copy(update={"stages": stages, "rejects": rejects}))[0]
    assert first.example.startswith("http://10.0.0.1/a.jpg: private; allow_private=true allows it xxx")
    assert len(first.example) == MAX_EXAMPLE + 1


def test_annotations_that_an_import_dropped_are_shares_of_its_annotations(plain: DatasetReport) -> None:
    stages = [stage("read", 100, {}), stage("annotation", 511, {"crowd": 5})]
    assert texts(plain, stages=stages, origin="human") == [], "one in a hundred"
    stages = [stage("read", 100, {"no_phrase": 78}), stage("annotation", 520, {"caption_undeclared": 468})]
    assert texts(plain, stages=stages, origin="human") == [
        "Dropped: 78 of 100 (78 %) source pairs, all at the stage read: no phrase.",
        "Dropped: 468 of 520 (90 %) annotations, all at the stage annotation: caption undeclared.",
    ]


def test_of_human_data_nothing_is_advised_that_a_command_refuses_for_them(plain: DatasetReport) -> None:
    numbers = _numbers(plain, {"repeated_images": 50.0})
    assert texts(plain, numbers=numbers, origin="human") == [], "dedupe refuses them: their samples share pictures"


def test_a_selection_that_empties_many_pictures_is_told(plain: DatasetReport) -> None:
    assert texts(plain, stages=[stage("selection", 100, {"no_box_selected": 19})]) == []
    assert texts(plain, stages=[stage("selection", 100, {"no_box_selected": 40})]) == [
        "The selection glip leaves no box in 40 of 100 (40 %) stored images."
    ]


def test_many_boxes_a_phrase_and_repeated_files_ask_for_something(plain: DatasetReport) -> None:
    numbers = _numbers(plain, {"boxes_per_phrase": 17.4, "repeated_images": 3.0})
    told = findings(plain.model_copy(update={"numbers": numbers}))
    assert [(one.text.partition(":")[0], one.act) for one in told[:2]] == [
        ("A phrase has 17.4 boxes on average, but most phrases name one thing or a few.", True),
        ("Repeated files", True),
    ]
    assert [one.act for one in told] == sorted((one.act for one in told), reverse=True), "what asks for something first"


def test_a_head_noun_with_a_quarter_of_the_boxes_is_named(plain: DatasetReport) -> None:
    heads = [
        HeadCount(head_lemma=name, occurrences=boxes, unique_phrases=1, boxes=boxes, mean_score=0.5)
        for name, boxes in (("man", 60), *((f"noun {number}", 20) for number in range(7)))
    ]
    assert texts(plain, head_lemmas=heads) == ["One head noun, “man”, has 60 of 200 (30 %) boxes."]
    assert texts(plain, head_lemmas=heads[:5]) == [], "of a few classes each has a large share"
    assert texts(plain, head_lemmas=[heads[0].model_copy(update={"boxes": 200})]) == [], "or all"


def judged(boxes: int, precision: float, low: float, high: float) -> list[Statistic]:
    values = {"boxes": boxes, "precision": precision, "precision_low": low, "precision_high": high}
    return [
        Statistic(name=f"judged_{name}", title=name, value=value, definition="", section="review")
        for name, value in values.items()
    ]


def test_what_reviewers_found_asks_for_something_where_the_whole_interval_is_low(plain: DatasetReport) -> None:
    first = findings(plain.model_copy(update={"numbers": [*plain.numbers, *judged(200, 0.6, 0.53, 0.67)]}))[0]
    assert first.text == "Reviewers find 120 of 200 (60 %) judged boxes right; the 95 % interval is 53 to 67 %."
    assert first.act
    assert "calibrate --verdicts" in first.advice
    for update in (
        {"numbers": [*plain.numbers, *judged(20, 0.6, 0.39, 0.81)]},
        {"numbers": [*plain.numbers, *judged(200, 0.6, 0.53, 0.67)], "origin": "human"},
    ):
        found = findings(plain.model_copy(update=update))
        [one] = [one for one in found if one.chapter == "review"]
        assert not one.act
        assert "calibrate" not in one.advice
        assert "at random" in one.advice


def test_captions_in_other_languages_are_told(plain: DatasetReport) -> None:
    languages = [LanguageCount(language="en", captions=80), LanguageCount(language="de", captions=20)]
    sample_of = CaptionSample(captions=100, units=1, languages=languages)
    assert texts(plain, captions=sample_of) == ["Probably not English: 20 of 100 (20 %) sampled captions."]


def test_a_unit_far_slower_than_the_mean_is_named_with_its_worker(plain: DatasetReport) -> None:
    slow = UnitTime(unit=7, source_uri="a.tar", rows=10, boxes=1, seconds=90, seconds_per_row=9, worker="node-3:17")
    numbers = _numbers(plain, {"work_seconds": 200.0})
    report = plain.model_copy(update={"slowest_units": [slow], "units": 10, "numbers": numbers})
    assert report.number("work_seconds") == 200
    [told, _] = findings(report)
    assert told.text == "Unit 7 took 4.5 times as long per row as the mean."
    assert "node-3:17" in told.advice


def test_a_dataset_without_a_box_says_why_and_breaks_nothing(tmp_path: Path) -> None:
    low = sample("low", "a dog", [(0, 5)], [(0, (1, 1, 9, 9), 0.1)])
    report = dataset_report(write_dataset(tmp_path / "low", [low]))
    assert "The selection glip leaves no box in 1 of 1 (100 %) stored images." in texts(report)
