"""Everybody who reads a dataset reads it as the reviewers left it, and no job of ours touches what they said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_datasets import CARD, dog, write_dataset
from verdict_samples import said

from engine.artifacts import Store
from engine.dataset.committed import delete_units_beyond, uncommit
from engine.mix import Mix
from engine.review.verdicts import VERDICTS, append_verdicts
from engine.statistics import dataset_report
from pipelines.dedupe import dedupe
from pipelines.export import export
from pipelines.pages.gallery import gallery
from pipelines.verify import verify
from schemas.recipes import MixEntry

DOG, TREE = (10.0, 10.0, 60.0, 80.0), (80.0, 5.0, 150.0, 110.0)
NEW = (0.0, 100.0, 20.0, 119.0)


@pytest.fixture(params=["pseudo", "human"])
def dogs(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of three pictures one is reviewed: its dog rejected, its tree accepted, another tree drawn."""
    card = CARD.model_copy(update={"origin": request.param})
    folder = write_dataset(tmp_path / "dogs", [dog(number) for number in range(3)], card)
    labels = dog(1).labels
    append_verdicts(
        Store(folder),
        [said(labels, 0, "rejected", DOG), said(labels, 1, "accepted", TREE), said(labels, 1, "added", NEW, NEW)],
    )
    return folder


def wanted(one: Any) -> list[Any]:
    trees = [(1, TREE, 1.0), (1, NEW, 1.0)]
    return trees if one == "001" else [(0, DOG, 0.9), (1, TREE, 0.6)]


def test_training_learns_what_the_reviewers_left(dogs: Path) -> None:
    mix = Mix.open([MixEntry(dataset=str(dogs))], seed=0)
    for ref in mix.datasets[0].refs:
        labels = mix.load(ref).labels
        assert [(box.phrase, box.box_xyxy, box.score) for box in labels.boxes] == wanted(labels.key)
    mix.close()


def test_a_verdict_changes_the_fingerprint_of_a_mix(dogs: Path) -> None:
    def fingerprint() -> str:
        return Mix.open([MixEntry(dataset=str(dogs))], seed=0).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    append_verdicts(Store(dogs), [said(dog(2).labels, 0, "rejected", DOG)])
    assert fingerprint() != before


def test_exports_write_what_the_reviewers_left(dogs: Path) -> None:
    receipt = export(dogs, dogs.parent / "odvg", format="odvg", progress=False)
    assert (receipt.boxes, receipt.left_out["box_rejected_by_reviewer"]) == (6, 1)
    lines = [json.loads(line) for line in (dogs.parent / "odvg" / "odvg.jsonl").read_text().splitlines()]
    assert lines[1]["grounding"]["regions"] == [
        {"bbox": list(box), "phrase": "a tree", "tokens_positive": [[9, 15]]} for box in (TREE, NEW)
    ]


def test_statistics_count_what_the_reviewers_left(dogs: Path) -> None:
    report = dataset_report(dogs)
    assert report.number("boxes") == 6
    if report.origin == "pseudo":
        assert report.box_selection is not None
        assert report.box_selection.dropped == {"rejected_by_reviewer": 1}
        assert report.box_selection.came_in == 7, "six candidates and the drawn box"


def test_the_gallery_shows_what_the_reviewers_left(dogs: Path) -> None:
    shown = {one.key: one for one in gallery(dogs, None, limit=10).pictures}
    assert list(shown["001"].phrases.values()) == ["a tree"]
    assert len(shown["001"].boxes) == 2


def test_other_jobs_leave_verdicts_alone(dogs: Path) -> None:
    before = {path: path.read_bytes() for path in (dogs / VERDICTS).iterdir()}
    if dataset_report(dogs).origin == "pseudo":
        dedupe(dogs, progress=False)
    verify(dogs, progress=False)
    uncommit(Store(dogs), [0])  # as a relabelling begins, and as it ends where the source became shorter
    delete_units_beyond(Store(dogs), 0)
    assert {path: path.read_bytes() for path in (dogs / VERDICTS).iterdir()} == before


def test_verify_reads_the_table_too(dogs: Path) -> None:
    assert not [problem for problem in verify(dogs, progress=False).problems if VERDICTS in problem]
    [table] = (dogs / VERDICTS).iterdir()
    table.write_bytes(b"PAR1")
    [problem] = [problem for problem in verify(dogs, progress=False).problems if VERDICTS in problem]
    assert "not a table of verdicts" in problem
