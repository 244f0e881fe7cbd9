"""What the registry's commands answer: a promotion, a rollback, the history, the versions as found, the mirror."""

from __future__ import annotations

from schemas.registry import Entry, ModelVersion
from schemas.reports import Document


class Mirroring(Document):
    """What bringing the registry's mirror up to date came to.

    ``added`` are the versions that it lacked, ``champion`` the one that its alias names now, ``passed_over`` why
    versions are missing from it; ``problem`` is why it lags behind, None where it does not. ``model`` is None where the
    registry's setting cannot be read.
    """

    model: str | None
    added: list[int] = []
    champion: int | None = None
    passed_over: list[str] = []
    problem: str | None = None


class Promotion(Document):
    """What a promotion came to. ``done_before``: the model had been promoted by an earlier call, and nothing moved;
    ``mirror`` is None where the registry has none."""

    registry: str
    version: int
    name: str
    current: int
    entry: Entry
    done_before: bool = False
    mirror: Mirroring | None = None


class Rollback(Document):
    """What a rollback came to; ``passed_over`` says why damaged versions were."""

    registry: str
    version: int
    entry: Entry
    passed_over: list[str]
    mirror: Mirroring | None = None


class History(Document):
    """All moves of the pointer, the oldest first, and what is wrong with the record."""

    registry: str
    entries: list[Entry]
    problems: list[str]


class VersionState(Document):
    """A version as it was found. ``problem`` is None where every file is as it was written."""

    version: int
    current: bool
    was_current: bool
    problem: str | None
    model: ModelVersion | None


class RegistryState(Document):
    """``show``: the versions, each read whole, and what is wrong with the pointer and the history."""

    registry: str
    current: int | None
    versions: list[VersionState]
    problems: list[str]
