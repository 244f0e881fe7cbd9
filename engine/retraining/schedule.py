"""A schedule whose due times are each served once, by one of several schedulers, despite crashes and wrong clocks.

In: cron expressions, a folder or ``s3://`` prefix that all schedulers share, and the current time. Out: a claim on the
latest due time that nobody has served, or how long to wait. Nothing here reads a clock, so that a test can play through
a month.

What is due follows from ``state.json`` alone: the latest instant of the expressions after the last one served. So times
missed in a downtime, or while a run took longer than its period, are served together by one run, at once. The lock of
the folder (:mod:`engine.artifacts`) is held from the claim until the run has ended. Only then a due time counts as
served, so that after a crash it is attempted again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from engine.artifacts import Store
from engine.retraining.cron import Cron
from schemas.retrain import ScheduledRun, ScheduleOutcome, ScheduleState

STATE = "state.json"
BUSY = timedelta(seconds=30)  # pause before another look at whether another scheduler is done
CLOCK_ERROR = timedelta(days=1)  # a record further in the future was written by a wrong clock
IDLE = timedelta(days=1)
HISTORY = 200


@dataclass(frozen=True, slots=True)
class Wait:
    """There is nothing to do before ``until``. ``busy``: another scheduler is at work."""

    until: datetime
    busy: bool = False


class Schedule:
    """The schedule whose state is in ``store``. A due time whose attempt failed is attempted again after ``retry``, at
    most ``max_attempts`` times in all."""

    def __init__(self, crons: Sequence[Cron], store: Store, *, max_attempts: int = 3, retry: timedelta = BUSY) -> None:
        self.crons, self.store, self.max_attempts, self.retry = tuple(crons), store, max_attempts, retry

    def state(self) -> ScheduleState | None:
        """The stored state; None before the first scheduler began. ValueError where the file is damaged."""
        if not self.store.exists(STATE):
            return None
        try:
            return ScheduleState.model_validate_json(self.store.read(STATE))
        except ValidationError:
            raise ValueError(
                f"{self.store.root}/{STATE} is damaged; delete it, and due times count from the next start"
            ) from None

    def poll(self, now: datetime) -> Claim | Wait:
        """Claim the time that is due at ``now``, if there is one that may be attempted; else tell how long to wait."""
        state = self.state()
        if state is not None and not _from_the_future(state, now) and self.due(state, now) is None:
            return self._idle(now)
        if state is not None and (waiting := _waiting(state, now, self.retry)) is not None:
            return Wait(waiting)
        held = ExitStack()
        try:
            held.enter_context(self.store.locked())
        except ValueError:
            return Wait(now + BUSY, busy=True)
        with held:
            found = self._claim(now)
            if isinstance(found, Claim):
                found.held = held.pop_all()
            return found

    def due(self, state: ScheduleState, now: datetime) -> datetime | None:
        """The latest due instant up to ``now`` that has not been served; None where all have been."""
        after = max(state.since, state.served or state.since)
        found = [cron.latest(after, now) for cron in self.crons] if after < now else []
        return max((instant for instant in found if instant is not None), default=None)

    def next(self, now: datetime) -> datetime | None:
        """The first due instant after ``now``; None where there is none."""
        return min((instant for cron in self.crons if (instant := cron.next(now)) is not None), default=None)

    def _idle(self, now: datetime) -> Wait:
        return Wait(self.next(now) or now + IDLE)

    def _claim(self, now: datetime) -> Claim | Wait:
        """Claim with the lock held, by the state as it is now, since others may have written it meanwhile."""
        state = self.state()
        if state is None or _from_the_future(state, now):
            self.write(ScheduleState(since=now, history=[] if state is None else state.history))
            return self._idle(now)
        due = self.due(state, now)
        if due is None:
            return self._idle(now)
        if (waiting := _waiting(state, now, self.retry)) is not None:
            return Wait(waiting)
        attempt = state.attempt + 1 if state.attempt_due == due else 1
        if attempt > self.max_attempts:  # the last attempt began and never ended
            claim = Claim(self, due, state.attempt, state.attempt_began or now)
            claim.write(now, "failed", f"given up after {self.max_attempts} attempts that did not end")
            return self._idle(now)
        begun = {"attempt": attempt, "attempt_due": due, "attempt_began": now, "wait_until": None}
        self.write(state.model_copy(update=begun))
        return Claim(self, due, attempt, now)

    def write(self, state: ScheduleState) -> None:
        """Write the state; only with the lock held."""
        self.store.write_document(STATE, state)


class Claim:
    """The right to serve one due time, held until it is finished or the process ends."""

    def __init__(self, schedule: Schedule, due: datetime, attempt: int, started: datetime) -> None:
        self.schedule, self.due, self.attempt, self.started = schedule, due, attempt, started
        self.held = ExitStack()

    def finish(self, now: datetime, outcome: ScheduleOutcome, message: str = "") -> None:
        """Record the outcome and release the claim. ``failed`` is attempted again; ``interrupted`` and ``busy`` do not
        count as attempts; with any other outcome the due time is served."""
        with self.held:
            self.write(now, outcome, message)

    def write(self, now: datetime, outcome: ScheduleOutcome, message: str) -> None:
        """Only record the outcome; only with the lock held."""
        schedule = self.schedule
        state = schedule.state() or ScheduleState(since=now)
        run = ScheduledRun(
            due=self.due,
            attempt=self.attempt,
            started=self.started,
            finished=now,
            outcome=outcome,
            message=message[:2000],
            by=f"{socket.gethostname()}:{os.getpid()}",
        )
        if outcome == "failed" and self.attempt < schedule.max_attempts:
            update = {"attempt": self.attempt, "attempt_began": None, "wait_until": now + schedule.retry}
        elif outcome in ("interrupted", "busy"):
            pause = BUSY if outcome == "busy" else timedelta(0)
            update = {"attempt": self.attempt - 1, "attempt_began": None, "wait_until": now + pause}
        else:
            update = {"served": self.due, "attempt": 0, "attempt_due": None, "attempt_began": None, "wait_until": None}
        history = state.history if outcome == "busy" else [*state.history, run][-HISTORY:]
        schedule.write(state.model_copy(update={**update, "history": history}))


def _from_the_future(state: ScheduleState, now: datetime) -> bool:
    return max(state.since, state.served or state.since) > now + CLOCK_ERROR


def _waiting(state: ScheduleState, now: datetime, retry: timedelta) -> datetime | None:
    """The time before which no attempt may begin; None where one may. A time further off than any pause comes from a
    wrong clock, and is ignored."""
    until = state.wait_until
    return until if until is not None and now < until <= now + max(retry, BUSY) else None
