"""What is on record of retrainings and of a schedule: JSON in the registry, under ``retrain/`` and ``schedule/``."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from schemas.reports import Document

RetrainOutcome = Literal["promoted", "refused", "failed", "not due", "busy"]
ScheduleOutcome = Literal["done", "refused", "failed", "invalid", "busy", "interrupted"]


class SourcePart(Document):
    """A file of the source, by its rows and the digest of what decides them."""

    rows: int
    digest: str


class RetrainFacts(Document):
    """What the policy decides by, as it was found.

    ``parts``: of the source. ``teacher`` is the digest of the registry's current model; ``rolled_back``: it is current
    by a rollback, not by a promotion. ``figure`` is its value of the watched metric.
    """

    parts: dict[str, SourcePart] = {}
    teacher: str = ""
    rolled_back: bool = False
    figure: float | None = None


class RetrainRecord(Document):
    """One retraining run.

    ``facts`` were found when it began, ``teacher_after`` and ``figure_after`` when it ended. Without ``finished`` it is
    under way, or its process died. ``untold``: the webhook has not received the outcome yet. ``removed`` are the
    folders of old runs that were deleted at its end.
    """

    number: int = Field(ge=1)
    folder: str
    because: list[str]
    recipe_digest: str
    begun: datetime
    facts: RetrainFacts
    attempts: int = 1
    finished: datetime | None = None
    outcome: RetrainOutcome | None = None
    reason: str = ""
    page: str | None = None
    promoted: str | None = None
    mirror_problem: str | None = None
    teacher_after: str | None = None
    figure_after: float | None = None
    untold: bool = False
    removed: list[str] = []
    removal_problem: str | None = None


class RetrainResult(Document):
    """The outcome of a call of ``retrain``. ``because``: the reasons why it was due. ``not_due``: each condition of the
    policy that did not hold."""

    outcome: RetrainOutcome
    due: bool
    because: list[str]
    not_due: list[str] = []
    run: RetrainRecord | None = None


class ScheduledRun(Document):
    """One attempt to serve a due time."""

    due: datetime
    attempt: int
    started: datetime
    finished: datetime
    outcome: ScheduleOutcome
    message: str = ""
    by: str = ""


class ScheduleState(Document):
    """``state.json`` of a schedule.

    Only due times after both ``since`` and ``served`` are still to be served. ``attempt`` numbers the attempts of the
    due time ``attempt_due``; the latest began at ``attempt_began``, and the next may not begin before ``wait_until``.
    """

    since: datetime
    served: datetime | None = None
    attempt: int = 0
    attempt_due: datetime | None = None
    attempt_began: datetime | None = None
    wait_until: datetime | None = None
    history: list[ScheduledRun] = []


class ScheduleStatus(Document):
    """What ``schedule status`` prints: the next due time, what is under way, the scheduler's state, and the latest run,
    whoever asked for it."""

    next_due: datetime | None
    overdue: datetime | None
    under_way: bool
    state: ScheduleState | None
    last_run: RetrainRecord | None = None
