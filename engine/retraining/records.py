"""The records of retrainings: a numbered JSON for each run, in the registry under ``retrain/``; one writer at a time.

In: a registry's folder or ``s3://`` prefix. Out: the runs, and a lock that neither crashes nor wrong clocks break: the
kernel's in a folder, a lease on an object store (:mod:`engine.storage.leases`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pydantic import ValidationError

from engine.artifacts import Store
from schemas.retrain import RetrainRecord


class BusyError(Exception):
    """Another process is retraining into this registry."""


class RetrainRecords:
    """The records of the registry at ``uri``."""

    def __init__(self, uri: str) -> None:
        self.store = Store(f"{uri.rstrip('/')}/retrain")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock of retraining into this registry; :class:`BusyError` where another process holds it."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self.store.locked())
            except ValueError as error:
                raise BusyError(str(error)) from None
            yield

    def last(self) -> RetrainRecord | None:
        """The latest run; None where there is none. ValueError where its record is damaged."""
        names = self._names()
        return self._read(names[-1]) if names else None

    def all(self) -> Iterator[RetrainRecord]:
        """All runs, the oldest first, read one by one, since a record may be large: it names every file of its source.
        ValueError where one is damaged."""
        return map(self._read, self._names())

    def _names(self) -> list[str]:
        return [name for name in self.store.names("") if re.fullmatch(r"\d{6}\.json", name)]

    def _read(self, name: str) -> RetrainRecord:
        try:
            return RetrainRecord.model_validate_json(self.store.read(name))
        except ValidationError:
            raise ValueError(
                f"{self.store.root}/{name} is damaged; delete it, and the run before it counts as the last"
            ) from None

    def write(self, record: RetrainRecord) -> None:
        """Write a record, new or again; only while the lock is held."""
        self.store.write_document(f"{record.number:06d}.json", record)
