"""`min_agreement`: of an ensemble's labels what both teachers found stays; those of one teacher have no agreement."""

from __future__ import annotations

import pytest
from sample_labels import labels_of

from engine.selection import check_agreement, resolve_selection, select_with_reasons
from schemas.recipes import TeacherRecipe
from schemas.shards import SampleBox, SampleLabels

ENSEMBLE = TeacherRecipe(grounder="ensemble", members=(TeacherRecipe(), TeacherRecipe(grounder="owlv2")))


def labels(*agreements: float | None) -> SampleLabels:
    boxes = [SampleBox(phrase=0, box_xyxy=(0, 0, 9, 9), score=0.9, agreement=one) for one in agreements]
    return labels_of("dog", ["dog"]).model_copy(update={"boxes": boxes})


@pytest.mark.parametrize(("least", "kept"), [(0.01, [0.5, 0.8, 1.0]), (0.5, [0.5, 0.8, 1.0]), (0.8, [0.8, 1.0])])
def test_boxes_of_both_teachers_stay_and_the_others_are_counted(least: float, kept: list[float]) -> None:
    selected, dropped = select_with_reasons(labels(0.5, 0.0, 0.8, 0.0, 1.0), {"preset": "glip", "min_agreement": least})
    assert [box.agreement for box in selected.boxes] == kept
    assert dropped == {"agreement_below_min": 5 - len(kept)}


def test_labels_of_one_teacher_are_refused_and_not_emptied() -> None:
    with pytest.raises(ValueError, match="sample k was labelled by one teacher"):
        select_with_reasons(labels(None, None), {"min_agreement": 0.5})
    assert select_with_reasons(labels(), {"min_agreement": 0.5})[1] == {}, "no box asks for nothing"
    assert select_with_reasons(labels(None), "glip")[1] == {}


def test_a_box_that_a_reviewer_drew_needs_no_agreement() -> None:
    selected, dropped = select_with_reasons(labels(None, 0.0, 0.7), {"min_agreement": 0.5}, vouched=frozenset({0}))
    assert [box.agreement for box in selected.boxes] == [None, 0.7]
    assert dropped == {"agreement_below_min": 1}


def test_a_job_of_one_teacher_that_asks_for_agreement_is_stopped_before_it_begins() -> None:
    with pytest.raises(ValueError, match="the grounder is 'glip'"):
        check_agreement({"min_agreement": 0.5}, TeacherRecipe())
    check_agreement({"min_agreement": 0.5}, ENSEMBLE)
    check_agreement("glip", TeacherRecipe())


@pytest.mark.parametrize("value", [0, 1.5, "both"])
def test_an_agreement_is_a_share(value: object) -> None:
    with pytest.raises(ValueError, match="min_agreement"):
        resolve_selection({"min_agreement": value})
