"""Due times that are each served once: by one of several schedulers, through crashes, downtime and moved clocks.

In: cron expressions, a folder or ``s3://`` prefix that all schedulers share, and what time it is. Out: a claim on the
latest due time that nobody has served, or how long to wait. Nothing here reads a clock, so that a month can be played
through in a test.

What is due follows from ``state.json`` alone: the latest instant of the expressions after the last one served. So times
missed in a downtime, or while a run took longer than its period, come to one run, at once. The lock of the folder
(:mod:`engine.artifacts`) is held from the claim until the run has ended; a due time counts as served only then, so a
crash leaves it due, to be attempted again.
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
BUSY = timedelta(seconds=30)  # until it is looked again whether another scheduler is done
CLOCK_ERROR = timedelta(days=1)  # a record that lies further ahead was written by a clock that was wrong
IDLE = timedelta(days=1)
HISTORY = 200


@dataclass(frozen=True, slots=True)
class Wait:
    """There is nothing to do until then. ``busy``: another scheduler is at work."""

    until: datetime
    busy: bool = False


class Schedule:
    """The schedule whose state lies in ``store``. An attempt that fails is made again after ``retry``, up to
    ``max_attempts`` times."""

    def __init__(self, crons: Sequence[Cron], store: Store, *, max_attempts: int = 3, retry: timedelta = BUSY) -> None:
        self.crons, self.store, self.max_attempts, self.retry = tuple(crons), store, max_attempts, retry

    def state(self) -> ScheduleState | None:
        """What is on record; None before the first scheduler began. ValueError where the file is damaged."""
        if not self.store.exists(STATE):
            return None
        try:
            return ScheduleState.model_validate_json(self.store.read(STATE))
        except ValidationError:
            raise ValueError(
                f"{self.store.root}/{STATE} is damaged; delete it, and due times count from the next start"
            ) from None

    def poll(self, now: datetime) -> Claim | Wait:
        """Claim the due time, if there is one at ``now`` that may be served."""
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
        """The latest instant that has not been served; None where all have been."""
        after = max(state.since, state.served or state.since)
        found = [cron.latest(after, now) for cron in self.crons] if after < now else []
        return max((instant for instant in found if instant is not None), default=None)

    def next(self, now: datetime) -> datetime | None:
        """The first instant to come."""
        return min((instant for cron in self.crons if (instant := cron.next(now)) is not None), default=None)

    def _idle(self, now: datetime) -> Wait:
        return Wait(self.next(now) or now + IDLE)

    def _claim(self, now: datetime) -> Claim | Wait:
        """With the lock held: what others wrote meanwhile counts."""
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
        if attempt > self.max_attempts:  # the last one began, and never came to an end
            claim = Claim(self, due, state.attempt, state.attempt_began or now)
            claim.write(now, "failed", f"given up after {self.max_attempts} attempts that did not end")
            return self._idle(now)
        begun = {"attempt": attempt, "attempt_due": due, "attempt_began": now, "wait_until": None}
        self.write(state.model_copy(update=begun))
        return Claim(self, due, attempt, now)

    def write(self, state: ScheduleState) -> None:
        """Put the state in place; only with the lock held."""
        self.store.write_document(STATE, state)


class Claim:
    """The right to serve one due time, held until it is finished or the process ends."""

    def __init__(self, schedule: Schedule, due: datetime, attempt: int, started: datetime) -> None:
        self.schedule, self.due, self.attempt, self.started = schedule, due, attempt, started
        self.held = ExitStack()

    def finish(self, now: datetime, outcome: ScheduleOutcome, message: str = "") -> None:
        """Record what came of it, and let go. ``failed`` is attempted again; ``interrupted`` and ``busy`` do not count
        as attempts; everything else is served."""
        with self.held:
            self.write(now, outcome, message)

    def write(self, now: datetime, outcome: ScheduleOutcome, message: str) -> None:
        """The record alone; only with the lock held."""
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
    """Until when no attempt begins; None where one may. A moment further off than any pause is of a wrong clock."""
    until = state.wait_until
    return until if until is not None and now < until <= now + max(retry, BUSY) else None
