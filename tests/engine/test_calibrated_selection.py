"""The selection ``calibrated``: each group has its own lowest score, and a file of another teacher is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sample_labels import labels_of

from engine.artifacts import Store
from engine.selecting.calibrated_scores import CalibratedScores, calibrated_scores
from engine.selection import check_teacher, resolve_selection, select_with_reasons, selection_name
from schemas.shards import SampleLabels

# Group > lowest score that reaches 0.5, and 0.7; None where it is out of reach.
BARS: dict[str, tuple[float | None, float | None]] = {"head/large": (0.2, 0.4), "tail/large": (0.6, None)}


@pytest.fixture
def file(tmp_path: Path, write_calibration: Any) -> str:
    bars = {
        name: [(bound, score) for bound, score in zip((0.5, 0.7), scores, strict=True) if score is not None]
        for name, scores in BARS.items()
    }
    path = tmp_path / "calibration.json"
    write_calibration(path, "teacher", bars, frequencies={"dog": "head", "yak": "tail"})
    return str(path)


def labels(*scores: tuple[int, float], side: float = 100, teacher: str = "teacher") -> SampleLabels:
    boxes = [(phrase, (0, 0, side, side), score) for phrase, score in scores]
    return labels_of("a Dog, a yak, a gnu", ["a Dog", "a yak", "a gnu"], boxes, size=(200, 200), teacher_digest=teacher)


def chosen(file: str, **fields: Any) -> dict[str, Any]:
    return {"preset": "calibrated", "calibration": file, **fields}


def test_each_group_has_its_own_lowest_score_and_every_drop_its_reason(file: str) -> None:
    sample = labels((0, 0.2), (0, 0.19), (1, 0.6), (1, 0.5), (2, 0.99))
    kept, dropped = select_with_reasons(sample, chosen(file, precision=0.5))
    assert [box.score for box in kept.boxes] == [0.2, 0.6]
    assert dropped == {"precision_out_of_reach": 1, "score_below_calibrated": 2}


def test_a_higher_target_keeps_less_and_drops_what_cannot_reach_it(file: str) -> None:
    kept, dropped = select_with_reasons(labels((0, 0.39), (0, 0.4), (1, 0.9)), chosen(file, precision=0.7))
    assert [box.score for box in kept.boxes] == [0.4]
    assert dropped == {"precision_out_of_reach": 1, "score_below_calibrated": 1}


def test_a_small_box_is_of_another_group(file: str) -> None:
    assert select_with_reasons(labels((0, 0.9), side=10), chosen(file))[1] == {"precision_out_of_reach": 1}


def test_the_files_own_target_is_taken_where_none_is_named(file: str) -> None:
    assert resolve_selection(chosen(file)) == resolve_selection(chosen(file, precision=0.5))
    assert selection_name(chosen(file)) == "calibrated 50%"


def test_other_rules_go_with_it(file: str) -> None:
    sample = labels((0, 0.3), (0, 0.9))
    assert len(select_with_reasons(sample, chosen(file, max_overlap=0.5))[0].boxes) == 1
    assert len(select_with_reasons(sample, chosen(file))[0].boxes) == 2


def test_the_identity_is_that_of_the_content_wherever_the_file_lies(file: str, tmp_path: Path) -> None:
    first = resolve_selection(chosen(file)).identity()
    (tmp_path / "moved").mkdir()
    moved = Path(file).rename(tmp_path / "moved/other.json")
    assert resolve_selection(chosen(str(moved))).identity() == first
    moved.write_text(moved.read_text().replace('"human"', '"others"'))
    assert resolve_selection(chosen(str(moved))).identity() != first


def test_the_file_may_lie_in_an_object_store(file: str, s3_bucket: str) -> None:
    Store(s3_bucket).write("made/calibration.json", Path(file).read_bytes())
    assert resolve_selection(chosen(f"{s3_bucket}/made/calibration.json")) == resolve_selection(chosen(file))


def test_labels_of_another_teacher_are_refused(file: str) -> None:
    with pytest.raises(ValueError, match=r"labelled by teacher other.*calibrate the teacher that labelled"):
        select_with_reasons(labels((0, 0.9), teacher="other"), chosen(file))
    with pytest.raises(ValueError, match=r"of teacher other.*is of teacher teacher"):
        check_teacher(chosen(file), "other")
    check_teacher(chosen(file), "teacher")
    check_teacher("glip", "other")


def test_what_cannot_be_applied_is_refused_in_words(file: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes the file"):
        resolve_selection("calibrated")
    with pytest.raises(ValueError, match=r"there is no calibration .*missing.json"):
        resolve_selection(chosen(str(tmp_path / "missing.json")))
    with pytest.raises(ValueError, match=r"no score of .* reaches a precision of 0.9 .the best bound is 0.70."):
        resolve_selection(chosen(file, precision=0.9))
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibrated_scores(file, 1.5)
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a calibration of this version"):
        resolve_selection(chosen(str(tmp_path / "bad.json")))
    with pytest.raises(ValueError, match=r"no selection '0.5'; there are: .*, and numbers such as {min_score"):
        resolve_selection("0.5")


def test_a_preset_can_be_changed_by_numbers() -> None:
    changed = resolve_selection({"preset": "grit", "min_score": 0.4})
    assert changed == resolve_selection("grit").model_copy(update={"min_score": 0.4})


def test_scores_travel_by_value(file: str) -> None:
    selection = resolve_selection(chosen(file))
    Path(file).unlink()
    assert isinstance(selection.calibrated, CalibratedScores)
    assert select_with_reasons(labels((0, 0.9)), selection)[1] == {}
