"""Whether a retraining is due: pure, from what is now, what was at the last run, and the policy.

In: facts and a policy. Out: the rules that say yes, and those that say no, each in words with its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from schemas.retrain import RetrainFacts, RetrainRecord, SourcePart
from schemas.retrain_recipes import RetrainPolicy

CLOCK_ERROR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Growth:
    """Phrases that new pairs name and the last run's labels lack, beside those that these have; a lower bound where not
    all new captions were read."""

    new: int
    known: int
    captions_read: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a run is due, and what was looked at in vain."""

    because: list[str]
    not_due: list[str]

    @property
    def due(self) -> bool:
        return bool(self.because)


def new_rows(before: RetrainFacts, now: RetrainFacts) -> dict[str, tuple[int, int]]:
    """For each file of the source that has grown or changed, the rows that are new, from and to."""
    found = {}
    for uri, part in now.parts.items():
        old = before.parts.get(uri, SourcePart(rows=0, digest=""))
        if part.digest != old.digest:
            found[uri] = (old.rows if part.rows > old.rows else 0, part.rows)
    return found


def judge(
    policy: RetrainPolicy,
    last: RetrainRecord | None,
    now: RetrainFacts,
    at: datetime,
    *,
    unit_size: int,
    growth: Growth | None = None,
) -> Verdict:
    """Ask every rule of the policy that is given. Without a last run, one is due."""
    if last is None:
        return Verdict(["there has been no run yet"], [])
    verdict = Verdict([], [])
    rows = new_rows(last.facts, now)
    pairs = sum(end - start for start, end in rows.values())
    shards = sum(ceil((end - start) / unit_size) for start, end in rows.values())
    _compare(verdict, policy.new_shards, shards, "{} shards are new or have changed, {} make a run due")
    _compare(verdict, policy.new_pairs, pairs, "{} pairs are new or have changed, {} make a run due")
    _judge_growth(verdict, policy, growth)
    _judge_age(verdict, policy, last, at)
    _judge_figure(verdict, policy, last, now)
    if policy.new_teacher:
        _judge_teacher(verdict, last, now)
    if not verdict.because and not verdict.not_due:
        verdict.not_due.append("the policy has no rule; give it one, such as new_shards: 1")
    return verdict


def _say(verdict: Verdict, yes: bool, what: str) -> None:
    (verdict.because if yes else verdict.not_due).append(what)


def _compare(verdict: Verdict, wanted: int | None, found: int, what: str) -> None:
    if wanted is not None:
        _say(verdict, found >= wanted, what.format(f"{found:,}", f"{wanted:,}"))


def _judge_growth(verdict: Verdict, policy: RetrainPolicy, growth: Growth | None) -> None:
    if policy.phrase_growth is None:
        return
    if growth is None or not growth.known:
        _say(verdict, False, "the growth of phrases is unknown: the last run's labels are gone or hold none")
        return
    share = growth.new / growth.known
    _say(
        verdict,
        share >= policy.phrase_growth,
        f"{growth.captions_read:,} new captions name {growth.new:,} phrases that the labels lack, {100 * share:.1f} % "
        f"of their {growth.known:,}; {100 * policy.phrase_growth:.1f} % make a run due",
    )


def _judge_age(verdict: Verdict, policy: RetrainPolicy, last: RetrainRecord, at: datetime) -> None:
    if policy.max_age_days is None:
        return
    age = at - (last.finished or last.begun)
    if age < -CLOCK_ERROR:
        _say(verdict, True, f"the last run is dated {last.begun:%Y-%m-%d}, in the future: its age is unknown")
        return
    days = age / timedelta(days=1)
    said = f"the last run is {max(0.0, days):.1f} days old, {policy.max_age_days:g} days make one due"
    _say(verdict, days >= policy.max_age_days, said)


def _judge_teacher(verdict: Verdict, last: RetrainRecord, now: RetrainFacts) -> None:
    other = last.teacher_after is not None and now.teacher != last.teacher_after
    said = f"the current version ({now.teacher[:12]}) is {'not ' if other else ''}the one that the last run left"
    back = _went_back(last, now)
    _say(verdict, other and not back, f"{said}; it was rolled back to" if back else said)


def _went_back(last: RetrainRecord, now: RetrainFacts) -> bool:
    """Whether somebody has taken back what the last run left. That is nothing new, and no figure that fell: a run for
    it would make again what was taken back."""
    return now.rolled_back and last.teacher_after is not None and now.teacher != last.teacher_after


def _judge_figure(verdict: Verdict, policy: RetrainPolicy, last: RetrainRecord, now: RetrainFacts) -> None:
    rule = policy.metric_drop
    if rule is None:
        return
    if _went_back(last, now):
        _say(
            verdict, False, f"{rule.metric} is not compared: the current version was rolled back to since the last run"
        )
        return
    before = last.figure_after if last.figure_after is not None else last.facts.figure
    if before is None or now.figure is None:
        _say(verdict, False, f"a drop of {rule.metric} is unknown: a figure of the last run or of now is missing")
        return
    _say(
        verdict,
        before - now.figure >= rule.by,
        f"{rule.metric} is {100 * now.figure:.1f}, after the last run it was {100 * before:.1f}; a drop of "
        f"{100 * rule.by:.1f} points makes a run due",
    )
