"""What a reader learns of a reviewed sample: people's boxes whatever the score, without what they rejected."""

from __future__ import annotations

from random import Random

import pytest
from report_datasets import sample
from verdict_samples import held, said

from engine.review.selecting import REJECTED, apply_verdicts, iou, match_verdicts, placed_boxes
from engine.selection import PRESETS, Selection, resolve_selection
from engine.view import View
from schemas.records import BoxXYXY
from schemas.shards import SampleLabels
from schemas.verdicts import Verdict

LOW, HIGH, TREE = (10.0, 10.0, 60.0, 80.0), (100.0, 10.0, 150.0, 80.0), (80.0, 5.0, 150.0, 110.0)
CAPTION = "a dog by a tree"


def labelled(*boxes: tuple[int, BoxXYXY, float]) -> SampleLabels:
    return sample("k", CAPTION, [(0, 5), (9, 15)], list(boxes)).labels


LABELS = labelled((0, LOW, 0.2), (0, HIGH, 0.9), (1, TREE, 0.6))


def learned(labels: SampleLabels, *verdicts: Verdict, selection: str | Selection | None = "glip") -> list[object]:
    rules = resolve_selection(selection) if isinstance(selection, str) else selection
    found, _ = View(rules, verdicts=held(verdicts)).seen(labels)
    return [(box.phrase, box.box_xyxy, box.score) for box in found.boxes]


def test_without_a_verdict_nothing_changes() -> None:
    assert learned(LABELS) == [(0, HIGH, 0.9), (1, TREE, 0.6)]
    assert apply_verdicts(LABELS, ()).labels is LABELS


def test_an_accepted_box_stays_whatever_its_score_with_the_score_of_human_boxes() -> None:
    assert learned(LABELS, said(LABELS, 0, "accepted", LOW)) == [(0, LOW, 1.0), (0, HIGH, 0.9), (1, TREE, 0.6)]


def test_a_rejected_box_is_dropped_with_its_reason() -> None:
    verdicts = held([said(LABELS, 0, "rejected", HIGH)])
    found, dropped = View(PRESETS["glip"], verdicts=verdicts).seen(LABELS)
    assert [box.box_xyxy for box in found.boxes] == [TREE]
    assert dropped == {REJECTED: 1, "score_not_above_min": 1}
    assert len(found.boxes) + sum(dropped.values()) == len(LABELS.boxes)


def test_a_corrected_box_takes_the_place_of_the_one_it_corrects() -> None:
    better = (12.0, 14.0, 58.0, 79.0)
    assert learned(LABELS, said(LABELS, 0, "corrected", LOW, better))[0] == (0, better, 1.0)


def test_a_drawn_box_joins_and_replaces_the_candidate_that_it_overlaps() -> None:
    new, near = (0.0, 100.0, 20.0, 119.0), (81.0, 6.0, 150.0, 110.0)
    assert learned(LABELS, said(LABELS, 1, "added", new, new))[-1] == (1, new, 1.0)
    assert learned(LABELS, said(LABELS, 1, "added", near, near)) == [(0, HIGH, 0.9), (1, near, 1.0)]


@pytest.mark.parametrize("preset", ["glip", "grit", "owl-st", "all"])
def test_no_rule_drops_what_a_person_vouches_for(preset: str) -> None:
    """Even of an abstract phrase, inside a longer one, in a picture with no good box."""
    labels = sample("k", "love of a time", [(0, 4), (0, 14)], [(0, LOW, 0.06), (1, LOW, 0.07)]).labels
    assert (0, LOW, 1.0) in learned(labels, said(labels, 0, "accepted", LOW), selection=preset)


def test_a_reviewed_box_suppresses_others_as_the_best_one() -> None:
    near = (11.0, 10.0, 61.0, 80.0)
    labels = labelled((0, LOW, 0.2), (1, near, 0.95))
    assert learned(labels, said(labels, 0, "accepted", LOW), selection="grit") == [(0, LOW, 1.0)]


def test_human_boxes_are_kept_but_for_the_rejected() -> None:
    assert learned(LABELS, said(LABELS, 0, "rejected", LOW), selection=None) == [(0, HIGH, 0.9), (1, TREE, 0.6)]


def test_an_ensembles_agreement_is_no_reason_against_a_reviewer() -> None:
    boxes = [box.model_copy(update={"agreement": 0.6}) for box in LABELS.boxes]
    labels = LABELS.model_copy(update={"boxes": boxes})
    assert learned(labels, said(labels, 0, "accepted", LOW), selection=Selection(min_agreement=0.9)) == [(0, LOW, 1.0)]


def test_verdicts_outlive_a_relabelling_that_moves_boxes() -> None:
    """The new teacher has the dog nearly where the old one had it, and the tree elsewhere."""
    moved, elsewhere = (12.0, 10.0, 62.0, 80.0), (0.0, 0.0, 20.0, 20.0)
    relabelled = labelled((0, moved, 0.7), (1, elsewhere, 0.8))
    verdicts = [said(LABELS, 0, "rejected", LOW), said(LABELS, 1, "rejected", TREE)]
    assert learned(relabelled, *verdicts) == [(1, elsewhere, 0.8)]
    assert learned(relabelled, said(LABELS, 0, "accepted", LOW)) == [(0, LOW, 1.0), (1, elsewhere, 0.8)]
    kept = learned(relabelled, said(LABELS, 1, "accepted", TREE))
    assert kept == [(0, moved, 0.7), (1, elsewhere, 0.8), (1, TREE, 1.0)], "a true box stays one that no teacher finds"


def test_a_correction_takes_the_place_of_a_box_that_a_relabelling_put_where_it_was_drawn() -> None:
    drawn = (101.0, 12.0, 150.0, 80.0)
    assert learned(labelled((0, HIGH, 0.9)), said(LABELS, 0, "corrected", LOW, drawn)) == [(0, drawn, 1.0)]


def test_a_box_is_vouched_for_also_where_one_before_it_was_rejected() -> None:
    whole = (0.0, 0.0, float(LABELS.width), float(LABELS.height))
    labels = labelled((0, LOW, 0.9), (1, whole, 0.8))
    words = (said(labels, 0, "rejected", LOW), said(labels, 1, "accepted", whole))
    assert learned(labels, *words, selection=Selection(drop_whole_image=True)) == [(1, whole, 1.0)]
    rules = Selection(min_score=0.95, drop_whole_image=True)  # of which the first drops the box before it
    assert learned(labels, words[1], selection=rules) == [(1, whole, 1.0)]


def test_verdicts_are_about_their_own_phrase_and_caption() -> None:
    other = sample("k", "a cat by a tree", [(0, 5)], [(0, HIGH, 0.9)]).labels
    assert learned(other, said(LABELS, 0, "rejected", HIGH)) == [(0, HIGH, 0.9)]
    parsed_anew = sample("k", CAPTION, [(2, 5)], [(0, HIGH, 0.9)]).labels
    verdicts = [said(LABELS, 0, "rejected", HIGH), said(LABELS, 0, "added", LOW, LOW)]
    assert learned(parsed_anew, *verdicts) == [(0, HIGH, 0.9)]


def test_each_box_and_each_verdict_is_matched_once_best_overlaps_first() -> None:
    """Against all ways to pair them: greedy by overlap."""
    random = Random(0)
    for _ in range(200):
        boxes = [_box(random) for _ in range(5)]
        labels = labelled(*((0, box, 0.5) for box in boxes))
        verdicts = [said(labels, 0, "accepted", _box(random)) for _ in range(4)]
        matched = match_verdicts(verdicts, placed_boxes(labels))
        taken = [place for place in matched if place is not None]
        assert len(taken) == len(set(taken))
        pairs = [(n, p, iou(boxes[p], v.box_xyxy)) for n, v in enumerate(verdicts) for p in range(5)]
        for number, place, overlap in pairs:
            if overlap >= 0.5 and matched[number] != place:
                own = matched[number]
                has_better = own is not None and iou(boxes[own], verdicts[number].box_xyxy) >= overlap
                rivals = [n for n, p in enumerate(matched) if p == place]
                lost = any(iou(boxes[place], verdicts[n].box_xyxy) >= overlap for n in rivals)
                assert has_better or lost


def _box(random: Random) -> BoxXYXY:
    x, y = random.choice((0.0, 5.0, 40.0)), random.choice((0.0, 4.0, 50.0))
    return (x, y, x + random.choice((30.0, 40.0)), y + random.choice((30.0, 45.0)))


def test_a_verdict_on_a_larger_picture_of_the_same_name_stays_inside() -> None:
    beyond = (100.0, 50.0, 900.0, 700.0)
    assert learned(LABELS, said(LABELS, 1, "added", beyond, beyond))[-1] == (1, (100.0, 50.0, 160.0, 120.0), 1.0)
