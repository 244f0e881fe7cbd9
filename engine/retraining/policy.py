"""Whether a retraining is due: a pure function of the facts of now, those of the last run, and the policy.

In: facts and a policy. Out: the rules that say yes, and those that say no, each as a sentence with its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

from schemas.retrain import RetrainFacts, RetrainRecord, SourcePart
from schemas.retrain_recipes import RetrainPolicy

CLOCK_ERROR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Growth:
    """The growth of phrases: ``new`` ones, which new pairs name and the last run's labels lack, and the labels' own
    (``known``). A lower bound where not all new captions were read."""

    new: int
    known: int
    captions_read: int


@dataclass(frozen=True, slots=True)
class DueDecision:
    """Whether a run is due: the sentences of the rules that make it so, and of the others."""

    because: list[str]
    not_due: list[str]

    @property
    def due(self) -> bool:
        return bool(self.because)


class RuleAnswer(NamedTuple):
    """The answer of one rule, with a sentence; functions return None for a rule that the policy does not have."""

    due: bool
    said: str


def new_rows(before: RetrainFacts, now: RetrainFacts) -> dict[str, tuple[int, int]]:
    """For each file of the source that has grown or changed, the half-open range of its new rows. All rows count as new
    in a changed file that has not grown."""
    found = {}
    for uri, part in now.parts.items():
        old = before.parts.get(uri, SourcePart(rows=0, digest=""))
        if part.digest != old.digest:
            found[uri] = (old.rows if part.rows > old.rows else 0, part.rows)
    return found


def apply_policy(
    policy: RetrainPolicy,
    last: RetrainRecord | None,
    now: RetrainFacts,
    at: datetime,
    *,
    unit_size: int,
    growth: Growth | None = None,
) -> DueDecision:
    """Ask all rules that the policy has. Without a last run, one is due."""
    if last is None:
        return DueDecision(["there has been no run yet"], [])
    rows = new_rows(last.facts, now)
    pairs = sum(end - start for start, end in rows.values())
    shards = sum(ceil((end - start) / unit_size) for start, end in rows.values())
    answers = [
        _of_count(policy.new_shards, shards, "{} shards are new or have changed, {} make a run due"),
        _of_count(policy.new_pairs, pairs, "{} pairs are new or have changed, {} make a run due"),
        _of_growth(policy, growth),
        _of_age(policy, last, at),
        _of_figure(policy, last, now),
        _of_teacher(policy, last, now),
    ]
    given = [one for one in answers if one is not None]
    if not given:
        given = [RuleAnswer(False, "the policy has no rule; give it one, such as new_shards: 1")]
    return DueDecision([said for yes, said in given if yes], [said for yes, said in given if not yes])


def _of_count(wanted: int | None, found: int, what: str) -> RuleAnswer | None:
    return None if wanted is None else RuleAnswer(found >= wanted, what.format(f"{found:,}", f"{wanted:,}"))


def _of_growth(policy: RetrainPolicy, growth: Growth | None) -> RuleAnswer | None:
    if policy.phrase_growth is None:
        return None
    if growth is None or not growth.known:
        return RuleAnswer(False, "the growth of phrases is unknown: the last run's labels are gone or hold none")
    share = growth.new / growth.known
    return RuleAnswer(
        share >= policy.phrase_growth,
        f"{growth.captions_read:,} new captions name {growth.new:,} phrases that the labels lack, {100 * share:.1f} % "
        f"of their {growth.known:,}; {100 * policy.phrase_growth:.1f} % make a run due",
    )


def _of_age(policy: RetrainPolicy, last: RetrainRecord, at: datetime) -> RuleAnswer | None:
    if policy.max_age_days is None:
        return None
    age = at - (last.finished or last.begun)
    if age < -CLOCK_ERROR:
        return RuleAnswer(True, f"the last run is dated {last.begun:%Y-%m-%d}, in the future: its age is unknown")
    days = age / timedelta(days=1)
    said = f"the last run is {max(0.0, days):.1f} days old, {policy.max_age_days:g} days make one due"
    return RuleAnswer(days >= policy.max_age_days, said)


def _of_figure(policy: RetrainPolicy, last: RetrainRecord, now: RetrainFacts) -> RuleAnswer | None:
    rule = policy.metric_drop
    if rule is None:
        return None
    if _went_back(last, now):
        said = f"{rule.metric} is not compared: the current version was rolled back to since the last run"
        return RuleAnswer(False, said)
    before = last.figure_after if last.figure_after is not None else last.facts.figure
    if before is None or now.figure is None:
        return RuleAnswer(False, f"a drop of {rule.metric} is unknown: a figure of the last run or of now is missing")
    return RuleAnswer(
        before - now.figure >= rule.by,
        f"{rule.metric} is {100 * now.figure:.1f}, after the last run it was {100 * before:.1f}; a drop of "
        f"{100 * rule.by:.1f} points makes a run due",
    )


def _of_teacher(policy: RetrainPolicy, last: RetrainRecord, now: RetrainFacts) -> RuleAnswer | None:
    if not policy.new_teacher:
        return None
    other = last.teacher_after is not None and now.teacher != last.teacher_after
    said = f"the current version ({now.teacher[:12]}) is {'not ' if other else ''}the one that the last run left"
    if _went_back(last, now):
        return RuleAnswer(False, f"{said}; it was rolled back to")
    return RuleAnswer(other, said)


def _went_back(last: RetrainRecord, now: RetrainFacts) -> bool:
    """Whether somebody has rolled back the last run's result. Neither a new teacher nor a lower figure then makes a run
    due, since a run would only produce the same result again."""
    return now.rolled_back and last.teacher_after is not None and now.teacher != last.teacher_after
