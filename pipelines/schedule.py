"""``glip-engine schedule``: retrain at the times of the recipe, in a process of its own each, until told to stop.

In: a recipe's file. Out: runs, one at a time, whose history lies in the registry under ``schedule/``. Each run is the
command ``retrain --if-due`` as a child process: what it does to memory, or to itself, leaves the scheduler alone.
SIGTERM and Ctrl-C stop the scheduler: the run under way is told to stop too, waited for, and gone on with by the next
scheduler.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol, TextIO

from engine.artifacts import Store
from engine.retraining.cron import Cron
from engine.retraining.records import RetrainRecords
from engine.retraining.schedule import BUSY as BUSY_PAUSE
from engine.retraining.schedule import Claim, Schedule, Wait
from pipelines.exit_status import BUSY, DONE, INTERRUPTED, INVALID, REFUSED
from pipelines.stop_signals import stop_by_signal
from schemas.retrain import RetrainRecord, ScheduledRun, ScheduleOutcome, ScheduleStatus
from schemas.retrain_recipes import RetrainRecipe

LOOK_S = 30.0  # a clock that is moved while the scheduler waits is noticed so soon
OUTCOMES: dict[int, ScheduleOutcome] = {
    **{DONE: "done", REFUSED: "refused", BUSY: "busy", INVALID: "invalid", INTERRUPTED: "interrupted"}
}


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> datetime:
        """With a time zone."""
        ...

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Until then, or until it is to stop."""
        ...


class SystemClock:
    """That of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, seconds: float, stop: threading.Event) -> None:
        stop.wait(min(seconds, LOOK_S))


Run = Callable[[Claim, threading.Event], tuple[ScheduleOutcome, str]]


def open_schedule(recipe: RetrainRecipe) -> Schedule:
    """The schedule of the recipe's registry. ValueError where an expression or the time zone is none."""
    plan = recipe.schedule
    return Schedule(
        [Cron(expression, plan.timezone) for expression in plan.cron],
        Store(f"{str(recipe.generation.registry).rstrip('/')}/schedule"),
        max_attempts=plan.max_attempts,
        retry=timedelta(minutes=plan.retry_minutes),
    )


def serve(schedule: Schedule, run: Run, stop: threading.Event, clock: Clock, *, progress: bool = True) -> int:
    """Serve due times until ``stop`` is set; returns how many runs there were."""
    say: Callable[[str], None] = partial(print, flush=True) if progress else lambda line: None
    served, told = 0, None
    while not stop.is_set():
        try:
            found = schedule.poll(clock.now())
            if isinstance(found, Claim):
                say(f"due {_minute(found.due)}, attempt {found.attempt}")
                outcome, message = run(found, stop)
                served += 1
                found.finish(clock.now(), outcome, message)
                say(f"{outcome}: {message}")
                continue
        except RuntimeError as error:  # the store does not answer, or its lock was lost: what is due stays due
            say(f"{error}; it is tried again")
            found = Wait(clock.now() + BUSY_PAUSE, busy=True)
        if not found.busy and found.until != told:
            told = found.until
            say(f"next: {_minute(found.until)}")
        clock.wait(max(1.0, (found.until - clock.now()).total_seconds()), stop)
    return served


def schedule(recipe: RetrainRecipe, arguments: Sequence[str], *, progress: bool = True) -> int:
    """Run ``glip-engine retrain ARGUMENTS`` whenever it is due, until SIGTERM or Ctrl-C."""
    plan = open_schedule(recipe)
    command = [sys.executable, "-m", "pipelines.cli", "retrain", "--if-due", *arguments]

    def run(claim: Claim, stop: threading.Event) -> tuple[ScheduleOutcome, str]:
        # What a run prints is no part of the scheduler's own answer in JSON.
        return run_child(command, stop, recipe.schedule.stop_seconds, stdout=None if progress else sys.stderr)

    with stop_by_signal() as stop:
        return serve(plan, run, stop, SystemClock(), progress=progress)


def run_child(
    command: Sequence[str], stop: threading.Event, stop_s: float, *, stdout: TextIO | None = None
) -> tuple[ScheduleOutcome, str]:
    """Run a command to its end; told to stop, pass that on, and kill it after ``stop_s`` seconds."""
    # In a session of its own: Ctrl-C is for the scheduler, which passes it on.
    child = subprocess.Popen(command, start_new_session=True, stdout=stdout)
    try:
        while not stop.is_set():
            try:
                status = child.wait(timeout=0.5)
                return OUTCOMES.get(status, "failed"), f"exit status {status}"
            except subprocess.TimeoutExpired:
                continue
        child.terminate()
        try:
            child.wait(timeout=stop_s)
            return "interrupted", "stopped; the next scheduler resumes"
        except subprocess.TimeoutExpired:
            return "interrupted", f"killed, since it had not stopped after {stop_s:g} s; the next scheduler resumes"
    finally:
        child.kill()
        child.wait()


def schedule_status(recipe: RetrainRecipe, *, progress: bool = True) -> ScheduleStatus:
    """When the next run is due, what is overdue, and what became of the latest."""
    plan, now = open_schedule(recipe), datetime.now(UTC)
    state, records = plan.state(), RetrainRecords(str(recipe.generation.registry))
    last = records.last()
    # A run that a timer of somebody else's started holds the records alone.
    runs = last is not None and last.finished is None and _is_locked(records.store)
    status = ScheduleStatus(
        next_due=plan.next(now),
        overdue=None if state is None else plan.due(state, now),
        under_way=runs or (state is not None and _is_locked(plan.store)),
        state=state,
        last_run=last,
    )
    if progress:
        _print_status(status)
    return status


def _is_locked(store: Store) -> bool:
    try:
        with store.locked():
            return False
    except ValueError:
        return True


def _print_status(status: ScheduleStatus) -> None:
    if status.state is None:
        print("no scheduler has run yet; `glip-engine schedule --recipe FILE` starts one")
    for run in status.state.history[-10:] if status.state else []:
        print(_line(run))
    if status.last_run is not None:
        print(_run_line(status.last_run))
    print("under way" if status.under_way else "nothing is under way")
    if status.overdue is not None:
        print(f"overdue since {_minute(status.overdue)}")
    print(f"next: {_minute(status.next_due) if status.next_due else 'never'}")


def _line(run: ScheduledRun) -> str:
    took = (run.finished - run.started).total_seconds()
    return f"due {_minute(run.due)}  attempt {run.attempt}  {run.outcome:11}  {took:.0f} s  {run.message}"


def _minute(instant: datetime) -> str:
    return instant.isoformat(timespec="minutes")


def _run_line(run: RetrainRecord) -> str:
    """The latest run: what became of it and why, and what to read next."""
    ended = f"{run.outcome} {_minute(run.finished)}" if run.finished else f"not ended, begun {_minute(run.begun)}"
    reason = f": {run.reason}" if run.reason else ""
    kept = f"\n  old runs could not be deleted: {run.removal_problem}" if run.removal_problem else ""
    traceback = ", whose failure.txt is the traceback" if run.outcome == "failed" else ""
    read = run.page or f"{run.folder}{traceback}"
    attempt = max(run.attempts, 1)  # one that was stopped is not counted, but it was one
    return f"run {run.number}  attempt {attempt}  {ended}{reason}\n  see {read}{kept}"
