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
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import Protocol, TextIO
from zoneinfo import ZoneInfo

from engine.artifacts import Store
from engine.retraining.cron import Cron
from engine.retraining.records import RetrainRecords
from engine.retraining.schedule import BUSY as BUSY_PAUSE
from engine.retraining.schedule import Claim, Schedule, Wait
from pipelines.commands.exit_status import BUSY, DONE, INTERRUPTED, INVALID, REFUSED
from pipelines.console.stop_signals import stop_by_signal
from pipelines.retraining.webhook import webhook_address
from schemas.retrain import RetrainRecord, ScheduledRun, ScheduleOutcome, ScheduleStatus
from schemas.retrain_recipes import RetrainRecipe

LOOK_S = 30.0  # a clock that is moved while the scheduler waits is noticed so soon
OUTCOMES: dict[int, ScheduleOutcome] = {
    **{DONE: "done", REFUSED: "refused", BUSY: "busy", INVALID: "invalid", INTERRUPTED: "interrupted"}
}


class Clock(Protocol):
    """The time, and waiting; tests have a clock of their own."""

    def now(self) -> datetime:
        """The time, with a time zone."""
        ...

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Wait at most ``seconds``, less if ``stop`` is set."""
        ...


class SystemClock:
    """The machine's clock. It waits at most ``LOOK_S`` at once, so that a clock that is moved meanwhile is noticed."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, seconds: float, stop: threading.Event) -> None:
        stop.wait(min(seconds, LOOK_S))


Run = Callable[[Claim, threading.Event], tuple[ScheduleOutcome, str]]


def open_schedule(recipe: RetrainRecipe) -> Schedule:
    """The schedule of the recipe's registry. ValueError for a bad cron expression or time zone."""
    plan = recipe.schedule
    return Schedule(
        [Cron(expression, plan.timezone) for expression in plan.cron],
        Store(f"{str(recipe.generation.registry).rstrip('/')}/schedule"),
        max_attempts=plan.max_attempts,
        retry=timedelta(minutes=plan.retry_minutes),
    )


def serve(
    schedule: Schedule, run: Run, stop: threading.Event, clock: Clock, *, zone: tzinfo = UTC, progress: bool = True
) -> int:
    """Serve due times until ``stop`` is set; returns how many runs there were. Times are printed in ``zone``."""
    say: Callable[[str], None] = partial(print, flush=True) if progress else lambda line: None
    served, told, in_the_way = 0, None, False  # another process, which is told once and not twice a minute for hours
    while not stop.is_set():
        try:
            found = schedule.poll(clock.now())
            if isinstance(found, Claim):
                if not in_the_way:
                    say(f"due {_minute(found.due, zone)}, attempt {found.attempt}")
                outcome, message = run(found, stop)
                served += outcome != "busy"
                found.finish(clock.now(), outcome, message)
                if not (in_the_way and outcome == "busy"):
                    say(f"{outcome}: {message}")
                in_the_way = outcome == "busy"
                continue
        except RuntimeError as error:  # the store does not answer, or its lock was lost: what is due stays due
            say(f"{error}; it is tried again")
            found = Wait(clock.now() + BUSY_PAUSE, busy=True)
        if not found.busy and not in_the_way and found.until != told:
            told = found.until
            say(f"next: {_minute(found.until, zone)}")
        clock.wait(max(1.0, (found.until - clock.now()).total_seconds()), stop)
    return served


def schedule(recipe: RetrainRecipe, arguments: Sequence[str], *, progress: bool = True) -> int:
    """Run ``glip-engine retrain ARGUMENTS`` whenever it is due, until SIGTERM or Ctrl-C."""
    plan, records = open_schedule(recipe), RetrainRecords(str(recipe.generation.registry))
    if recipe.notify is not None:
        webhook_address(recipe.notify)
    # -P: a folder pipelines/ in the working directory would hide this package.
    command = [sys.executable, "-P", "-m", "pipelines.cli", "retrain", "--if-due", *arguments]

    def run(claim: Claim, stop: threading.Event) -> tuple[ScheduleOutcome, str]:
        if _is_locked(records.store):
            return "busy", "another process is retraining"
        # What a run prints is no part of the scheduler's own answer in JSON.
        outcome, message = run_child(
            command, stop, recipe.schedule.stop_seconds, stdout=None if progress else sys.stderr
        )
        return outcome, f"{message}{_came_of(records, claim)}" if outcome == "done" else message

    with stop_by_signal() as stop:
        return serve(plan, run, stop, SystemClock(), zone=ZoneInfo(recipe.schedule.timezone), progress=progress)


def _came_of(records: RetrainRecords, claim: Claim) -> str:
    last = records.last()
    ran = last is not None and last.finished is not None and last.finished >= claim.started
    return f", run {last.number} {last.outcome}" if last is not None and ran else ", nothing was due"


def run_child(
    command: Sequence[str], stop: threading.Event, stop_s: float, *, stdout: TextIO | None = None
) -> tuple[ScheduleOutcome, str]:
    """Run a command to its end. When ``stop`` is set, it gets SIGTERM, and is killed after another ``stop_s``
    seconds."""
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
        _print_status(status, ZoneInfo(recipe.schedule.timezone))
    return status


def _is_locked(store: Store) -> bool:
    try:
        with store.locked():
            return False
    except ValueError:
        return True


def _print_status(status: ScheduleStatus, zone: tzinfo) -> None:
    if status.state is None:
        print("no scheduler has run yet; `glip-engine schedule --recipe FILE` starts one")
    for run in status.state.history[-10:] if status.state else []:
        print(_line(run, zone))
    if status.last_run is not None:
        print(_run_line(status.last_run, zone))
    print("under way" if status.under_way else "nothing is under way")
    if status.overdue is not None:
        print(f"overdue since {_minute(status.overdue, zone)}")
    print(f"next: {_minute(status.next_due, zone) if status.next_due else 'never'}")


def _line(run: ScheduledRun, zone: tzinfo) -> str:
    took = (run.finished - run.started).total_seconds()
    return f"due {_minute(run.due, zone)}  attempt {run.attempt}  {run.outcome:11}  {took:.0f} s  {run.message}"


def _minute(instant: datetime, zone: tzinfo) -> str:
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _run_line(run: RetrainRecord, zone: tzinfo) -> str:
    """The latest run in words: its outcome, the reason, and what to read next."""
    at = _minute(run.finished or run.begun, zone)
    ended = f"{run.outcome} {at}" if run.finished else f"not ended, begun {at}"
    reason = f": {run.reason}" if run.reason else ""
    kept = f"\n  old runs could not be deleted: {run.removal_problem}" if run.removal_problem else ""
    untold = "\n  the webhook has not been told; the next call tells it" if run.untold else ""
    traceback = ", whose failure.txt is the traceback" if run.outcome == "failed" else ""
    read = run.page or f"{run.folder}{traceback}"
    attempt = max(run.attempts, 1)  # one that was stopped is not counted, but it was one
    return f"run {run.number}  attempt {attempt}  {ended}{reason}\n  see {read}{untold}{kept}"
