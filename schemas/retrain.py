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
    """What the policy looks at, as it was found. ``teacher`` is the digest of the registry's current model, which is
    ``rolled_back`` to, or was promoted; ``figure`` is the watched metric of it."""

    parts: dict[str, SourcePart] = {}
    teacher: str = ""
    rolled_back: bool = False
    figure: float | None = None


class RetrainRecord(Document):
    """One run. ``facts`` are of its beginning, ``teacher_after`` and ``figure_after`` of its end. Without ``finished``
    it is under way, or its process died. ``untold``: the webhook has not been told of its outcome yet. ``removed`` are
    folders of old runs that were deleted at its end."""

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
    """What a call of ``retrain`` came to. ``because`` says why it was due, ``not_due`` what was looked at in vain."""

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
    """``state.json``: due times after ``since``, and after ``served``, are to be served. ``attempt`` of ``attempt_due``
    began at ``attempt_began``; no other begins before ``wait_until``."""

    since: datetime
    served: datetime | None = None
    attempt: int = 0
    attempt_due: datetime | None = None
    attempt_began: datetime | None = None
    wait_until: datetime | None = None
    history: list[ScheduledRun] = []


class ScheduleStatus(Document):
    """``schedule status``: the next due time, what is under way, the latest attempts of the scheduler, the newest last,
    and the latest run, whoever asked for it."""

    next_due: datetime | None
    overdue: datetime | None
    under_way: bool
    state: ScheduleState | None
    last_run: RetrainRecord | None = None
