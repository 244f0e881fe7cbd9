"""What an evaluation leaves beside its figures: a table of every box, and a page of the worst mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from browser_pages import DESKTOP, PHONE, grave_findings, open_page, overflow
from judged_columns import judged_columns
from report_datasets import HOSTILE, sample, write_dataset

from engine.artifacts import Store
from engine.metrics.judged_boxes import JudgedBox
from pipelines.evaluation.answer_table import answers_name, write_answers
from pipelines.pages.evaluation_page import render
from pipelines.pages.mistakes import drawn, worst
from schemas.reports import EvaluationReport, MetricValue, PrecisionRecall

BOX, ELSEWHERE = (10.0, 10.0, 60.0, 80.0), (70.0, 5.0, 90.0, 30.0)


def judged(key: str, outcome: Any, score: float, box: Any = ELSEWHERE, name: str = "a dog") -> JudgedBox:
    return JudgedBox(key, 0, name, 0 if outcome == "missed" else 1, score, box, 0.2, outcome)


def test_the_surest_wrong_boxes_and_the_largest_missed_ones_come_first_and_a_picture_once() -> None:
    boxes = [
        judged("a", "background", 0.4),
        judged("b", "localisation", 0.9),
        judged("b", "background", 0.8),
        judged("c", "right", 0.99),
        judged("d", "missed", 0.0, ELSEWHERE),
        judged("e", "missed", 0.0, BOX),
    ]
    sure, missed = worst(judged_columns(boxes))
    assert [(one.key, one.score) for one in sure] == [("b", 0.9), ("a", 0.4)]
    assert [one.key for one in missed] == ["e", "d"]
    assert [one.key for one in worst(judged_columns(boxes), sure=1)[0]] == ["b"]


def test_the_table_holds_every_box_as_it_was_judged(tmp_path: Path) -> None:
    boxes = [judged("a", "background", 0.5), judged("b", "missed", 0.0, BOX)]
    write_answers(Store(tmp_path), "val", judged_columns(boxes))
    rows = pq.read_table(tmp_path / answers_name("val")).to_pylist()
    assert [(row["key"], row["outcome"], row["rank"], row["score"]) for row in rows] == [
        ("a", "background", 1, 0.5),
        ("b", "missed", 0, 0.0),
    ]
    assert [rows[1][side] for side in ("x1", "y1", "x2", "y2")] == list(BOX)


def test_a_mistake_whose_picture_is_broken_is_left_out(tmp_path: Path) -> None:
    fine = sample("fine", "a dog", [(0, 5)], [(0, BOX, 1.0)])
    broken = sample("broken", "a dog", [(0, 5)], [(0, BOX, 1.0)])
    dataset = write_dataset(tmp_path / "dogs", [fine, type(broken)(broken.labels, b"no picture", "jpg")])
    found = drawn(Store(dataset), [judged("broken", "background", 0.9), judged("fine", "background", 0.8)])
    assert [one.judged.key for one in found] == ["fine"]


def evaluation() -> EvaluationReport:
    return EvaluationReport(
        model_digest="0" * 64,
        dataset=HOSTILE,
        dataset_fingerprint="f",
        metrics=[MetricValue(name="phrase_recall@1", value=0.5, count=2, baseline=0.25)],
        curve=PrecisionRecall(over="phrases", recall=[0.0, 0.5], precision=[0.0, 0.5], score=[0.9, 0.8]),
        outcomes={"right": 1, "other_name": 1},
        images=1,
    )


@pytest.fixture
def address(tmp_path: Path) -> str:
    """A page on which everything that comes from the data is hostile."""
    one = sample("evil", f"see {HOSTILE}", [(4, 4 + len(HOSTILE))], [(0, BOX, 1.0)])
    dataset = write_dataset(tmp_path / "dogs", [one])
    mistakes = (drawn(Store(dataset), [judged("evil", "other_name", 0.9, name=HOSTILE)]), [])
    page = tmp_path / "index.html"
    page.write_text(render([evaluation()], [mistakes], HOSTILE))
    return page.as_uri()


def test_long_captions_and_names_are_cut(tmp_path: Path) -> None:
    name = "x" * 3000
    dataset = write_dataset(tmp_path / "dogs", [sample("long", f"{name} {name}", [(0, 3000)], [(0, BOX, 1.0)])])
    page = render([evaluation()], [(drawn(Store(dataset), [judged("long", "background", 0.9, name=name)]), [])], "dogs")
    assert "x" * 499 + "…" in page
    assert "x" * 500 not in page


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_shows_text_as_text_asks_for_nothing_and_can_be_read_by_all(
    chromium: Any, address: str, size: tuple[int, int]
) -> None:
    watched = open_page(chromium, address, size=size)
    assert watched.page.locator(".mistakes img").count() == 1
    assert HOSTILE in watched.page.locator("h1").inner_text()
    assert watched.page.locator(".mistakes").inner_text().count(HOSTILE) == 2
    told = watched.page.locator("body").inner_text()
    assert "The last column counts the human boxes or phrases" in told, "on a phone, no hint of a heading is seen"
    assert grave_findings(watched.page) == []
    assert overflow(watched.page) == 0
    assert watched.troubles == []
    assert [one for one in watched.requests if not one.startswith(("file:", "data:"))] == []
