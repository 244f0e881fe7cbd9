"""The table of reviewers' verdicts: ``verdicts/*.parquet`` of a dataset, an append-only log.

In: verdicts as they are given. Out: the verdicts on each caption that are valid now. Every save is a new file, whole or
absent, with a unique name: several reviewers may write at the same time, in a folder or an object store, and no writer
ever replaces or deletes a file here. Labelling, relabelling and `dedupe` leave the folder alone.

Verdicts are made by hand: a million of them fit into memory, so all are read.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from engine.artifacts import Store, digest_of
from engine.storage.parquet_tables import parquet_bytes, read_parquet
from schemas.shards import CORNERS, SampleLabels
from schemas.verdicts import DRAWN_CORNERS, VERDICT_SCHEMA, Box, Verdict

VERDICTS = "verdicts"
MAX_FILE_BYTES = 50_000_000
_NAME = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{16}\.parquet")
CaptionKey = tuple[str, str]  # SHA-256 of the picture and of the caption
Target = tuple[str, str, int, int, Box]
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def now() -> str:
    """The current time in the form of a verdict's ``at``."""
    return datetime.now(UTC).strftime(_TIME)


def caption_sha256(caption: str) -> str:
    """SHA-256 (hex) of a caption, as in the annotation tables."""
    return hashlib.sha256(caption.encode()).hexdigest()


# ------------------------------------------------------------------------------------------------------------ writing


def append_verdicts(store: Store, verdicts: Sequence[Verdict]) -> str:
    """Save verdicts as one new file; returns its name in the store. ValueError where there are none."""
    if not verdicts:
        raise ValueError("no verdict came: there is nothing to save")
    time = re.sub(r"[-:.]", "", verdicts[-1].at)
    name = f"{VERDICTS}/{time}-{secrets.token_hex(8)}.parquet"
    store.write(name, parquet_bytes(pa.Table.from_pylist([_row(one) for one in verdicts], VERDICT_SCHEMA)))
    return name


def _row(verdict: Verdict) -> dict[str, Any]:
    row = verdict.model_dump(exclude={"box_xyxy", "drawn_xyxy"})
    drawn = verdict.drawn_xyxy or (None,) * 4
    return row | dict(zip(CORNERS, verdict.box_xyxy, strict=True)) | dict(zip(DRAWN_CORNERS, drawn, strict=True))


# ------------------------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The valid verdicts by picture and caption, oldest first; ``digest``: of the whole table, None if it is empty."""

    by_caption: Mapping[CaptionKey, tuple[Verdict, ...]] = field(default_factory=dict)
    digest: str | None = None
    _images: frozenset[str] = frozenset()

    def of(self, labels: SampleLabels) -> tuple[Verdict, ...]:
        """The verdicts on a sample. Its caption is digested only if its picture has any verdict."""
        if labels.image_sha256 not in self._images:
            return ()
        return self.by_caption.get((labels.image_sha256, caption_sha256(labels.caption)), ())

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.by_caption.values())


def _holding(rows: Iterable[Verdict]) -> list[Verdict]:
    """The latest verdict on each target unless it is ``withdrawn``. ``rows``: in the order in which they were given."""
    latest: dict[Target, Verdict] = {}
    for row in rows:
        target = target_of(row)
        latest.pop(target, None)  # so that the result is ordered by the latest verdicts
        latest[target] = row
    return [row for row in latest.values() if row.verdict != "withdrawn"]


def caption_of(verdict: Verdict) -> CaptionKey:
    """The picture and caption that a verdict is about."""
    return (verdict.image_sha256, verdict.caption_sha256)


def target_of(verdict: Verdict) -> Target:
    """The phrase and box that a verdict is about; coordinates to a hundredth of a pixel, as boxes are stored."""
    x1, y1, x2, y2 = (round(value, 2) for value in verdict.box_xyxy)
    return (verdict.image_sha256, verdict.caption_sha256, verdict.start, verdict.end, (x1, y1, x2, y2))


class VerdictLog:
    """The table of one dataset, to which others write too: :meth:`refresh` reads the files that are new.

    Only one thread may refresh at a time; others may read meanwhile. ``len`` is the number of valid verdicts.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, str] = {}  # SHA-256 of the files that were read, by name
        self._given: dict[CaptionKey, list[tuple[str, str, Verdict]]] = {}  # sorted by time and file name
        self._held: dict[CaptionKey, tuple[Verdict, ...]] = {}
        self._count = 0
        self._latest = ""

    def refresh(self, saved: str | None = None) -> Mapping[CaptionKey, tuple[Verdict, ...]]:
        """Read the new files, or, without listing any, only the one just ``saved``; returns the valid verdicts on the
        captions that they refer to. ValueError where one is no table of verdicts: then none of them counts as read."""
        there = self._store.names(VERDICTS) if saved is None else [saved.removeprefix(f"{VERDICTS}/")]
        names = [name for name in there if name not in self._read and _NAME.fullmatch(name)]
        contents = self._store.read_many([f"{VERDICTS}/{name}" for name in names], MAX_FILE_BYTES)
        digests: dict[str, str] = {}
        arrived: dict[CaptionKey, list[tuple[str, str, Verdict]]] = {}
        for name, content in zip(names, contents, strict=True):
            digests[name] = hashlib.sha256(content).hexdigest()
            for row in _rows(f"{self._store.root}/{VERDICTS}/{name}", content):
                arrived.setdefault(caption_of(row), []).append((row.at, name, row))
        self._read |= digests
        return {caption: self._take(caption, rows) for caption, rows in arrived.items()}

    def _take(self, caption: CaptionKey, arrived: list[tuple[str, str, Verdict]]) -> tuple[Verdict, ...]:
        given = sorted([*self._given.get(caption, []), *arrived], key=lambda one: one[:2])
        held = tuple(_holding(row for _, _, row in given))
        self._latest = max(self._latest, given[-1][0])
        self._count += len(held) - len(self.held(caption))
        self._given[caption], self._held[caption] = given, held
        return held

    def given(self, caption: CaptionKey) -> list[Verdict]:
        """All verdicts ever given on a caption, ordered by time, then by the name of their file."""
        return [row for _, _, row in self._given.get(caption, [])]

    def held(self, caption: CaptionKey) -> tuple[Verdict, ...]:
        """The valid verdicts on a caption."""
        return self._held.get(caption, ())

    def __len__(self) -> int:
        return self._count

    def time_of_next(self) -> str:
        """The time for a verdict given now: later than all that were read, even if a clock was put back or another
        reviewer's is ahead, since the latest verdict on a box counts."""
        if (told := now()) > self._latest:
            return told
        return (datetime.strptime(self._latest, _TIME) + timedelta(microseconds=1)).strftime(_TIME)

    def verdicts(self) -> Verdicts:
        """The valid verdicts on all captions."""
        held = {caption: rows for caption, rows in self._held.items() if rows}
        return Verdicts(held, digest_of(self._read) if self._read else None, frozenset(image for image, _ in held))


def read_verdicts(store: Store) -> Verdicts:
    """The valid verdicts of a dataset, which may be none. ValueError where a file is no table of verdicts."""
    log = VerdictLog(store)
    log.refresh()
    return log.verdicts()


def verdict_problems(store: Store) -> list[str]:
    """What is wrong with the table, a line for each bad file; empty where it is whole, or there is none."""
    problems = []
    for name in store.names(VERDICTS):
        path = f"{VERDICTS}/{name}"
        if not _NAME.fullmatch(name):
            problems.append(f"{path} is not a file of the table of verdicts; move it elsewhere")
            continue
        try:
            _rows(path, store.read(path, MAX_FILE_BYTES))
        except ValueError as error:
            problems.append(str(error))
    return problems


def _rows(path: str, content: bytes) -> list[Verdict]:
    try:
        table = read_parquet(content)
        if table.schema != VERDICT_SCHEMA:
            raise ValueError(f"its columns are {', '.join(table.column_names)}")
        return [_verdict(row) for row in table.to_pylist()]
    except (pa.ArrowException, ValidationError, ValueError, OSError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise ValueError(
            f"{path} is not a table of verdicts ({what}); bring back its copy, or move it elsewhere to do without it"
        ) from None


def _verdict(row: dict[str, Any]) -> Verdict:
    box = tuple(row.pop(name) for name in CORNERS)
    drawn = tuple(row.pop(name) for name in DRAWN_CORNERS)
    return Verdict(box_xyxy=box, drawn_xyxy=None if drawn[0] is None else drawn, **row)
