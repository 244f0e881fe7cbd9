"""Text that came with the data is printed as it is: it is no mark of style, and no terminal obeys it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_datasets import CARD, dog, write_dataset

from engine.shards import LabelledImage
from pipelines.cli import main
from pipelines.console.progress import tracked
from pipelines.diff import diff
from pipelines.ground import GroundedImage, table
from schemas.records import Candidate, Phrase

MARKS = "dog[/b] [red]:dog: \x1b[2J"


def named(number: int, boxes: int) -> LabelledImage:
    sample = dog(number)
    phrases = [phrase.model_copy(update={"head_lemma": MARKS}) for phrase in sample.labels.phrases]
    update = {"phrases": phrases, "boxes": sample.labels.boxes[:boxes]}
    return replace(sample, labels=sample.labels.model_copy(update=update))


def test_a_head_lemma_with_marks_and_escapes_is_shown_in_a_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    card = CARD.model_copy(update={"samples": 2, "units": 1, "complete": True})
    before = write_dataset(tmp_path / "before", [named(number, 2) for number in range(2)], card, units=1)
    after = write_dataset(tmp_path / "after", [named(number, 1) for number in range(2)], card, units=1)
    diff(before, after, selection={"min_score": 0.0})
    printed = capsys.readouterr().out
    assert r"dog[/b] [red]:dog: \x1b[2J" in printed
    assert "\x1b" not in printed


def test_an_error_shows_escapes_and_obeys_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", f"{tmp_path}/{MARKS}"]) == 2
    told = capsys.readouterr().err
    assert r"dog[/b] [red]:dog: \x1b[2J" in told
    assert "\x1b" not in told


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_an_argument_that_is_not_utf_8_is_an_error_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    write_dataset(tmp_path / "dogs\udcff", [dog(0)], CARD.model_copy(update={"samples": 1}))
    assert main(["verify", f"{tmp_path}/dogs\udcff", *more]) == 2
    assert capsys.readouterr().err.endswith(r"dogs\udcff' is not UTF-8; give a file or folder another name" + "\n")


def test_a_name_with_brackets_stands_beside_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(tracked([1, 2], "on val[/old]", shown=True)) == [1, 2]
    assert "val[/old]" in capsys.readouterr().err


def test_a_phrase_keeps_to_its_line_of_the_table() -> None:
    text = "a dog\n\x1b[2J"
    found = GroundedImage(b"", text, (Phrase(text, 0, 9, "dog"),), (Candidate(0, (0, 0, 9, 9), 0.5),), (), 0.5)
    assert table(found).splitlines()[1].startswith(r"a dog \x1b[2J  ")
