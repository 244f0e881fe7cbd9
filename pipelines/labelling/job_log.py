"""The log of a labelling job for machines: JSON lines, one for the start, each unit, each loss, and the end.

In: what happens. Out: lines of ``--log FILE``, appended, each whole as soon as it is written; each has ``time`` (UTC),
``event``, and the fields of its event. Without a file nothing is written.
"""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from pipelines.labelling.bookkeeping import LabelResult
from schemas.records import UnitRef
from schemas.shards import ShardManifest


class JobLog:
    """Writes the events ``start``, ``unit``, ``unit_lost``, ``end`` and, for a job that an error ends, ``failed``."""

    def __init__(self, path: str | Path | None, **start: Any) -> None:
        self._file = open(path, "a", encoding="utf-8", buffering=1) if path else None  # noqa: SIM115 - see __exit__
        self._write("start", **start, host=socket.gethostname(), pid=os.getpid())

    def __enter__(self) -> JobLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._write("failed", error=f"{type(error).__name__}: {error}")
        if self._file:
            self._file.close()

    def committed(self, manifest: ShardManifest) -> None:
        """Log a committed unit, with its rejects by stage and reason, and the seconds of each stage."""
        self._write(
            "unit",
            unit=manifest.unit,
            source_uri=manifest.source_uri,
            first_row=manifest.first_row,
            **{name: getattr(manifest, name) for name in ("rows", "samples", "phrases", "boxes")},
            rejects={stage.stage: stage.dropped for stage in manifest.stages if stage.dropped},
            seconds={stage.stage: stage.seconds for stage in manifest.stages},
            worker=manifest.worker,
        )

    def lost(self, ref: UnitRef, why: str) -> None:
        """Log a unit whose worker was lost; it is begun again elsewhere."""
        self._write("unit_lost", unit=ref.index, source_uri=ref.uri, first_row=ref.first_row, reason=why)

    def end(self, result: LabelResult) -> None:
        """Log the end of the job: done, or stopped with units left."""
        self._write("end", **result.model_dump(mode="json", exclude={"stages"}))

    def _write(self, event: str, **fields: Any) -> None:
        if self._file:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._file.write(json.dumps({"time": now, "event": event, **fields}, ensure_ascii=False) + "\n")
