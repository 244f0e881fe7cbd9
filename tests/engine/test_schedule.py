"""A month of schedulers, played through with a clock of our own and real files.

Two schedulers share a folder. They are stopped, they die in the middle of runs, runs take longer than their period, the
clock changes to summer time. Whatever happens: runs do not overlap, every due time is served by a run that begins after
it, and no due time is served twice.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import Store
from engine.retraining.cron import Cron
from engine.retraining.schedule import Claim, Schedule, Wait

START = datetime(2026, 3, 10, 12, tzinfo=UTC)  # summer time begins in the middle of the month that follows
MONTH = timedelta(days=30)
HOUR = timedelta(hours=1)
PATIENCE = timedelta(minutes=7)  # of a scheduler that finds another one at work, so that the test is quick


@dataclass
class World:
    """Events by time; what was run, from when to when, for which due time, and whether it came to its end."""

    folder: Path
    crons: list[Cron]
    events: list[Any] = field(default_factory=list)
    runs: list[tuple[datetime, datetime, datetime, bool]] = field(default_factory=list)
    number: int = 0

    def at(self, when: datetime, what: Any) -> None:
        self.number += 1
        heapq.heappush(self.events, (when, self.number, what))

    def play(self, until: datetime) -> None:
        while self.events and self.events[0][0] <= until:
            when, _, what = heapq.heappop(self.events)
            what(when)

    def schedule(self) -> Schedule:
        return Schedule(self.crons, Store(self.folder), retry=timedelta(minutes=10))

    def finished(self) -> list[tuple[datetime, datetime, datetime]]:
        return [(start, end, due) for start, end, due, whole in self.runs if whole]


class Scheduler:
    """A process that polls, runs, and dies when it is told to. ``takes``: how long the next run takes."""

    def __init__(self, world: World, takes: Any) -> None:
        self.world, self.takes, self.alive, self.claim = world, takes, True, None
        self.schedule, self.started = world.schedule(), START

    def poll(self, now: datetime) -> None:
        if not self.alive:
            return
        found = self.schedule.poll(now)
        if isinstance(found, Wait):
            again = max(found.until, now + PATIENCE) if found.busy else found.until
            self.world.at(max(again, now + timedelta(minutes=1)), self.poll)
            return
        self.claim, self.started = found, now
        self.world.at(now + self.takes(), self.finish)

    def finish(self, now: datetime) -> None:
        if self.alive and self.claim is not None:
            self.world.runs.append((self.started, now, self.claim.due, True))
            self.claim.finish(now, "done")
            self.claim = None
            self.poll(now)

    def die(self, now: datetime) -> None:
        self.alive = False
        if isinstance(self.claim, Claim):
            self.world.runs.append((self.started, now, self.claim.due, False))
            self.claim.held.close()  # as a crash does


def due_times(crons: list[Cron], start: datetime, end: datetime) -> list[datetime]:
    found = []
    for cron in crons:
        at: datetime | None = start
        while (at := cron.next(at)) is not None and at <= end:
            found.append(at)
    return sorted(found)


def assert_each_due_time_is_served_once(world: World, end: datetime) -> None:
    runs = sorted(world.runs)
    for (_, before, _, _), (after, _, _, _) in itertools.pairwise(runs):
        assert before <= after, "two runs overlap"
    served = [due for _, _, due in world.finished()]
    assert len(set(served)) == len(served), "a due time was served twice"
    first = world.schedule().state()
    assert first is not None
    starts = sorted(start for start, _, _ in world.finished())
    for due in due_times(world.crons, first.since, end):
        assert any(start >= due for start in starts), f"{due} was lost"
    for start, _, due in world.finished():
        assert start >= due
        missed = [one for one in due_times(world.crons, due, start) if one > due]
        assert not missed, f"at {start} the run was for {due}, though {missed} came after"


def test_a_month_with_downtime_summer_time_long_runs_crashes_and_two_schedulers(tmp_path: Path) -> None:
    chance = random.Random(6)
    world = World(tmp_path, [Cron("30 2 * * *", "Europe/Berlin"), Cron("0 */8 * * *", "Europe/Berlin")])

    def takes() -> timedelta:
        return HOUR * chance.choice([0.2, 1, 3, 9, 20])  # the period is eight hours and less

    end = START + MONTH
    for first_start in (START, START + 5 * HOUR):
        at = first_start
        while at < end - timedelta(days=3):
            life = HOUR * chance.choice([5, 30, 60, 100])
            one = Scheduler(world, takes)
            world.at(at, one.poll)
            world.at(at + life, one.die)
            at += life + HOUR * chance.choice([0, 1, 40])  # down for as long as two days
        world.at(at, Scheduler(world, lambda: HOUR / 4).poll)  # at last, one that lives
    world.play(end)
    assert_each_due_time_is_served_once(world, end - HOUR)
    assert sum(not whole for *_, whole in world.runs) >= 3, "some died in a run"
    assert any(stop - start > 8 * HOUR for start, stop, _ in world.finished()), "some took longer than the period"
    assert len(world.finished()) > 20


def test_a_quiet_month_has_one_run_a_day_at_its_time(tmp_path: Path) -> None:
    world = World(tmp_path, [Cron("30 2 * * *", "Europe/Berlin")])
    for _ in range(2):
        world.at(START, Scheduler(world, lambda: HOUR).poll)
    world.play(START + MONTH)
    due = due_times(world.crons, START, START + MONTH)
    assert len(due) == 30
    assert [one for _, _, one in world.finished()] == due
    assert all(start - one < timedelta(minutes=2) for start, _, one in world.finished())


def test_after_a_downtime_one_run_catches_up_at_once(tmp_path: Path) -> None:
    schedule = World(tmp_path, [Cron("0 3 * * *")]).schedule()
    assert isinstance(schedule.poll(START), Wait)
    claim = schedule.poll(START + timedelta(days=9))
    assert isinstance(claim, Claim)
    claim.finish(START + timedelta(days=9, hours=1), "done")
    wait = schedule.poll(START + timedelta(days=9, hours=1))
    assert isinstance(wait, Wait)
    assert wait.until == datetime(2026, 3, 20, 3, tzinfo=UTC)


def test_a_run_that_fails_is_attempted_again_and_in_the_end_given_up(tmp_path: Path) -> None:
    schedule, now = World(tmp_path, [Cron("0 3 * * *")]).schedule(), START
    schedule.poll(now)
    now += timedelta(hours=16)
    for attempt in (1, 2, 3):
        claim = schedule.poll(now)
        assert isinstance(claim, Claim)
        assert claim.attempt == attempt
        claim.finish(now, "failed", "no room")
        waiting = schedule.poll(now)
        assert isinstance(waiting, Wait)
        assert waiting.until == (now + timedelta(minutes=10) if attempt < 3 else datetime(2026, 3, 12, 3, tzinfo=UTC))
        now += timedelta(minutes=11)
    state = schedule.state()
    assert state is not None
    assert [(run.attempt, run.outcome) for run in state.history] == [(1, "failed"), (2, "failed"), (3, "failed")]


def test_attempts_are_counted_by_due_time(tmp_path: Path) -> None:
    schedule, attempts = Schedule([Cron("0 * * * *")], Store(tmp_path)), []
    schedule.poll(START)
    for hours in (1, 2, 3, 4):
        claim = schedule.poll(START + hours * HOUR)
        assert isinstance(claim, Claim)
        attempts.append((claim.due, claim.attempt))
        claim.finish(START + hours * HOUR, "failed")
    assert attempts == [(START + hours * HOUR, 1) for hours in (1, 2, 3, 4)]


def test_a_run_that_kills_its_scheduler_each_time_is_given_up_too(tmp_path: Path) -> None:
    world = World(tmp_path, [Cron("0 3 * * *")])
    world.schedule().poll(START)
    now = START + timedelta(hours=16)
    for _ in range(3):
        claim = world.schedule().poll(now)
        assert isinstance(claim, Claim)
        claim.held.close()  # as a crash does
    assert isinstance(world.schedule().poll(now), Wait)
    state = world.schedule().state()
    assert state is not None
    assert state.history[-1].message == "given up after 3 attempts that did not end"


@pytest.mark.parametrize("outcome", ["interrupted", "busy"])
def test_a_run_that_was_stopped_or_met_another_is_no_attempt(tmp_path: Path, outcome: Any) -> None:
    schedule, now = World(tmp_path, [Cron("0 3 * * *")]).schedule(), START
    schedule.poll(now)
    for hour in range(16, 22):
        claim = schedule.poll(START + hour * HOUR)
        assert isinstance(claim, Claim)
        assert claim.attempt == 1
        claim.finish(START + hour * HOUR, outcome)


def test_a_clock_that_was_ten_years_ahead_does_not_silence_the_schedule(tmp_path: Path) -> None:
    schedule = World(tmp_path, [Cron("0 3 * * *")]).schedule()
    schedule.poll(START)
    wrong = schedule.poll(START + timedelta(days=3650))
    assert isinstance(wrong, Claim)
    wrong.finish(START + timedelta(days=3650), "done")
    assert isinstance(schedule.poll(START + HOUR), Wait)
    claim = schedule.poll(START + timedelta(days=1))
    assert isinstance(claim, Claim)
    assert claim.due == datetime(2026, 3, 11, 3, tzinfo=UTC)


def test_a_clock_put_back_an_hour_does_not_run_the_same_time_twice(tmp_path: Path) -> None:
    schedule = World(tmp_path, [Cron("0 3 * * *")]).schedule()
    schedule.poll(START)
    now = datetime(2026, 3, 11, 3, 10, tzinfo=UTC)
    claim = schedule.poll(now)
    assert isinstance(claim, Claim)
    claim.finish(now, "done")
    for minutes in range(-60, 61, 10):
        assert isinstance(schedule.poll(now + timedelta(minutes=minutes)), Wait)


def test_a_state_that_is_damaged_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(ValueError, match="delete it"):
        World(tmp_path, [Cron("0 3 * * *")]).schedule().poll(START)
