"""The file of an answered unit, and the table of judged boxes: rows as they were given, few or many."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from judged_columns import judged_columns
from oracle_datasets import sample, write_dataset

from engine.artifacts import Store
from engine.metrics.judged_boxes import JudgedBox, JudgedBoxes
from engine.mix import Mix
from pipelines.evaluation import answer_table
from pipelines.evaluation.answer_table import answers_name, write_answers
from pipelines.evaluation.answered_units import (
    AnsweredUnit,
    answered_unit,
    candidates_by_key,
    read_unit,
    unit_name,
    write_unit,
)
from pipelines.evaluation.answered_units import answer_table as table_of
from pipelines.evaluation.exams import open_exam
from schemas.recipes import MixEntry
from schemas.records import Answer, Candidate, UnitRef
from schemas.shards import ShardManifest

REF = UnitRef(3, "boxes#000001", 64, 4)
FIRST, SECOND = Candidate(1, (0.1, 2.0, 30.7, 40.0), 0.3), Candidate(0, (0.0, 0.0, 5.0, 5.0), 0.9, agreement=0.5)


def unit_of(*answers: Answer) -> AnsweredUnit:
    fields = {"stages": [], "files": [], "first_key": None, "last_key": None, "samples": len(answers)}
    counts = {"phrases": 0, "boxes": 0, "rejects": 4 - len(answers), "unit": 3, "first_row": 64, "rows": 4}
    manifest = ShardManifest(source_uri=REF.uri, work_digest="w", **fields, **counts)  # type: ignore[arg-type]
    return answered_unit(manifest, table_of(answers))


def test_a_unit_is_read_back_from_its_file_as_it_came_from_the_worker(tmp_path: Path) -> None:
    unit = unit_of(Answer("a", (FIRST, SECOND)), Answer("b", ()), Answer("c", (SECOND,)))
    write_unit(Store(tmp_path), REF, unit)
    assert read_unit(Store(tmp_path), REF, "w") == unit
    assert read_unit(Store(tmp_path), REF, "other work") is None
    assert read_unit(Store(tmp_path), UnitRef(0, "boxes#000002", 0, 4), "w") is None
    found = {key: tuple(columns) for key, columns in candidates_by_key(unit).items()}
    plain = Candidate(0, SECOND.box_xyxy, SECOND.score)  # no metric asks how far teachers agreed
    assert found == {"a": (FIRST, plain), "b": (), "c": (plain,)}
    rows = pq.read_table(tmp_path / unit_name(REF)).to_pylist()
    assert [one["agreement"] for one in rows[0]["candidates"]] == [None, 0.5]


def test_a_unit_whose_samples_were_all_refused_has_no_answer(tmp_path: Path) -> None:
    unit = unit_of()
    write_unit(Store(tmp_path), REF, unit)
    assert read_unit(Store(tmp_path), REF, "w") == unit
    assert candidates_by_key(unit) == {}


def judged(number: int) -> JudgedBox:
    outcomes = ("background", "right", "missed")
    return JudgedBox(f"k{number // 2}", 0, f"a {number}", number % 2, 0.5, (0, 0, 1, number), 0.0, outcomes[number % 3])


@pytest.mark.parametrize("count", [0, 1, 6, 7])
def test_the_table_has_all_rows_in_groups_of_the_same_size(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups do not end where parts do."""
    monkeypatch.setattr(answer_table, "ROWS_A_GROUP", 3)
    boxes = [judged(number) for number in range(count)]
    parts = [part for at in range(0, count, 2) for part in judged_columns(boxes[at : at + 2]).parts]
    write_answers(Store(tmp_path), "val", JudgedBoxes(parts))
    file = pq.ParquetFile(tmp_path / answers_name("val"))
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert sizes == {0: [0], 1: [1], 6: [3, 3], 7: [3, 3, 1]}[count]
    rows = file.read().to_pylist()
    assert [(one["key"], one["name"], one["y2"], one["outcome"]) for one in rows] == [
        (one.key, one.name, one.box_xyxy[3], one.outcome) for one in boxes
    ]
    write_answers(Store(tmp_path), "in one part", judged_columns(boxes))
    assert (tmp_path / answers_name("in one part")).read_bytes() == (tmp_path / answers_name("val")).read_bytes()


def test_a_dataset_that_is_asked_about_from_inside_its_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path / "human", [sample("1", "a dog", {"a dog": [(10.0, 10.0, 50.0, 50.0)]})])
    monkeypatch.chdir(tmp_path / "human")
    assert open_exam(".", None).name == Mix.open([MixEntry(dataset=".")], 0).datasets[0].name == "human"
