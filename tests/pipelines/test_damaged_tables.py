"""A damaged table of boxes is named, in one line, by whichever command meets it first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from report_datasets import CARD, dog, write_dataset
from verdict_samples import said

from engine.artifacts import Store
from engine.filtering.leaks import read_leak_guard
from engine.review.verdicts import append_verdicts
from pipelines.cli import main

TEACHER = "1" * 64


def cut(table: Path) -> None:
    table.write_bytes(table.read_bytes()[:200])


def scribbled(table: Path) -> None:
    """The footer is whole, what it leads to is not."""
    content = table.read_bytes()
    table.write_bytes(content[:4] + bytes(byte ^ 0x5A for byte in content[4:400]) + content[400:])


def without_columns(table: Path) -> None:
    pq.write_table(pq.read_table(table).drop(["key", "image_sha256"]), table)


DAMAGES = [cut, scribbled, without_columns, Path.unlink]


def reviewed_dataset(folder: Path) -> Path:
    """Labelled by a teacher in two units, with a verdict on a picture of the first."""
    samples = [dog(number) for number in range(4)]
    for one in samples:
        one.labels.__dict__["teacher_digest"] = TEACHER
    card = CARD.model_copy(update={"teacher_digest": TEACHER, "complete": True, "samples": len(samples)})
    write_dataset(folder, samples, card, units=2)
    append_verdicts(Store(folder), [said(samples[0].labels, 0, "accepted", (10.0, 10.0, 60.0, 80.0))])
    return folder


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_table_is_told_of_in_one_line_with_what_to_do(
    damage: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, folder = reviewed_dataset(tmp_path / "whole"), reviewed_dataset(tmp_path / "damaged")
    damage(folder / "annotations" / "000000.parquet")
    for command in (
        ["dedupe", str(folder)],
        ["diff", str(whole), str(folder)],
        ["diff", str(whole), str(folder), "--selection", "all"],
        ["calibrate", "--verdicts", str(folder), "--out", str(tmp_path / "calibration.json")],
    ):
        assert main(command) in (1, 2)
        error = capsys.readouterr().err
        assert error.startswith("glip-engine: error: ")
        assert error.count("\n") == 1
        assert "`glip-engine verify`" in error, command
    with pytest.raises(ValueError, match=r"annotations/000000\.parquet: .*`glip-engine verify`"):
        read_leak_guard([str(folder)], 3)
