"""The record of retrainings: one JSON a run, numbered, in the registry under ``retrain/``, kept by one at a time.

In: a registry's folder or ``s3://`` prefix. Out: the runs, whether the last one ended, and a lock that crashes and
moved clocks do not break: in a folder the kernel's, on an object store a lease without clocks
(:mod:`engine.storage.leases`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pydantic import ValidationError

from engine.artifacts import Store
from schemas.retrain import RetrainRecord


class BusyError(Exception):
    """Another process retrains into this registry."""


class RetrainRecords:
    """The records of the registry at ``uri``."""

    def __init__(self, uri: str) -> None:
        self.store = Store(f"{uri.rstrip('/')}/retrain")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from retraining into this registry; :class:`BusyError` where one does already."""
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
        """Every run, the first one first, each read when it is its turn: a record names every file of its source.
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
        """Put a record in its place; only while held."""
        self.store.write_document(f"{record.number:06d}.json", record)
