"""Each rule of a retraining policy says yes when it should, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.retraining.policy import DueDecision, Growth, apply_policy, new_rows
from schemas.retrain import RetrainFacts, RetrainRecord, SourcePart
from schemas.retrain_recipes import MetricDrop, RetrainPolicy

THEN = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def facts(figure: float | None = None, teacher: str = "a" * 64, **parts: tuple[int, str]) -> RetrainFacts:
    return RetrainFacts(
        parts={uri: SourcePart(rows=rows, digest=digest) for uri, (rows, digest) in parts.items()},
        teacher=teacher,
        figure=figure,
    )


BEFORE = facts(0.8, x=(1000, "1"), y=(500, "2"))
LAST = RetrainRecord(
    number=3,
    folder="runs/000003",
    because=["new"],
    recipe_digest="r",
    begun=THEN,
    finished=THEN,
    outcome="refused",
    facts=BEFORE,
    teacher_after="a" * 64,
    figure_after=0.8,
)


def asked(
    now: RetrainFacts, growth: Growth | None = None, at: datetime = NOW, last: RetrainRecord = LAST, **policy: Any
) -> DueDecision:
    return apply_policy(RetrainPolicy.model_validate(policy), last, now, at, unit_size=100, growth=growth)


def test_the_first_run_is_due_and_nothing_new_is_not() -> None:
    assert apply_policy(RetrainPolicy(), None, BEFORE, NOW, unit_size=100).due
    decision = asked(BEFORE, new_shards=1, new_pairs=1, max_age_days=30, new_teacher=True)
    assert not decision.due
    assert len(decision.not_due) == 4


def test_rows_are_new_where_a_file_is_has_grown_or_has_changed() -> None:
    now = facts(x=(1250, "1b"), y=(500, "2b"), z=(30, "3"))
    assert new_rows(BEFORE, now) == {"x": (1000, 1250), "y": (0, 500), "z": (0, 30)}
    assert new_rows(BEFORE, facts(x=(1000, "1"))) == {}, "a file that is gone brings nothing new"


@pytest.mark.parametrize(
    ("policy", "due", "said"),
    [
        ({"new_shards": 3}, True, "3 shards are new or have changed, 3 make a run due"),
        ({"new_shards": 4}, False, "3 shards are new"),
        ({"new_pairs": 250}, True, "250 pairs"),
        ({"new_pairs": 251}, False, "250 pairs"),
        ({"max_age_days": 20}, True, "20.0 days old"),
        ({"max_age_days": 21}, False, "20.0 days old"),
        ({"new_teacher": True}, False, "the one that the last run left"),
        ({}, False, "the policy has no rule"),
    ],
)
def test_a_rule_is_met_at_its_number_and_says_so(policy: dict[str, Any], due: bool, said: str) -> None:
    decision = asked(facts(x=(1250, "1b"), y=(500, "2")), **policy)
    assert decision.due == due
    answers, others = (decision.because, decision.not_due) if due else (decision.not_due, decision.because)
    assert said in answers[0]
    assert others == []


def test_a_fallen_figure_is_compared_with_what_the_last_run_left() -> None:
    rule = {"metric_drop": MetricDrop(dataset="d", by=0.05)}
    assert asked(facts(0.75), **rule).because == [
        "phrase_recall@1 is 75.0, after the last run it was 80.0; a drop of 5.0 points makes a run due"
    ]
    assert not asked(facts(0.76), **rule).due
    assert not asked(facts(0.9), **rule).due
    assert "is unknown" in asked(facts(None), **rule).not_due[0]
    by_a_quarter = {"metric_drop": MetricDrop(dataset="d", by=0.25)}
    left_more = LAST.model_copy(update={"figure_after": 0.75, "facts": facts(0.5)})
    assert asked(facts(0.5), last=left_more, **by_a_quarter).due, "by as much as was asked for"
    left_none = LAST.model_copy(update={"figure_after": None})
    assert asked(facts(0.75), last=left_none, **rule).due, "then the one that it began with counts"
    began_with_none = left_none.model_copy(update={"facts": facts(None)})
    assert "is unknown" in asked(facts(0.75), last=began_with_none, **rule).not_due[0]


def test_new_phrases_are_counted_as_a_share_of_the_known_ones() -> None:
    assert asked(BEFORE, Growth(new=100, known=1000, captions_read=20), phrase_growth=0.1).due
    assert not asked(BEFORE, Growth(new=99, known=1000, captions_read=20), phrase_growth=0.1).due
    for unknown in (None, Growth(new=5, known=0, captions_read=20)):
        assert "is unknown" in asked(BEFORE, unknown, phrase_growth=0.1).not_due[0]


def test_another_current_version_is_a_new_teacher_and_the_own_student_is_not() -> None:
    assert asked(facts(teacher="b" * 64), new_teacher=True).due
    assert not asked(facts(teacher="a" * 64), new_teacher=True).due
    unknown = LAST.model_copy(update={"teacher_after": None})
    assert not asked(facts(teacher="b" * 64), last=unknown, new_teacher=True).due


def test_what_was_rolled_back_to_is_nothing_new_and_no_fallen_figure() -> None:
    back = facts(0.5, teacher="b" * 64).model_copy(update={"rolled_back": True})
    policy = {"new_teacher": True, "metric_drop": MetricDrop(dataset="d", by=0.05)}
    refused = asked(back, **policy)
    assert refused.because == []
    assert "; it was rolled back to" in refused.not_due[1]
    assert "is not compared" in refused.not_due[0]
    due = asked(back.model_copy(update={"rolled_back": False}), **policy).because
    assert len(due) == 2
    assert not any("rolled back" in said for said in due)
    unknown = LAST.model_copy(update={"teacher_after": None})
    assert asked(back, last=unknown, **policy).due, "nobody knows that it was taken back"
    own = back.model_copy(update={"teacher": "a" * 64})
    assert "a drop of 5.0 points makes a run due" in asked(own, **policy).because[0]


def test_an_age_counts_from_the_end_and_where_there_is_none_from_the_beginning() -> None:
    ended = LAST.model_copy(update={"begun": THEN - timedelta(days=3)})
    assert "20.0 days old" in asked(BEFORE, last=ended, max_age_days=21).not_due[0]
    died = ended.model_copy(update={"finished": None})
    assert "23.0 days old" in asked(BEFORE, last=died, max_age_days=21).because[0]


def test_an_age_that_a_wrong_clock_left_is_not_believed() -> None:
    assert "its age is unknown" in asked(BEFORE, at=THEN - timedelta(days=400), max_age_days=20).because[0]
    a_little = asked(BEFORE, at=THEN - timedelta(hours=1), max_age_days=20)
    assert "the last run is 0.0 days old" in a_little.not_due[0]
