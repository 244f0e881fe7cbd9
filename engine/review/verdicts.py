"""The table of reviewers' verdicts: ``verdicts/*.parquet`` of a dataset, to which rows are added and never changed.

In: verdicts as they are given. Out: what holds of each caption now. Every save is a file of its own, whole or absent,
under a name that nobody else takes: several reviewers write at once, in a folder or an object store, and no writer
ever replaces or deletes a file here. Labelling, relabelling and `dedupe` leave the folder alone.

Verdicts are made by hand: a million of them fit into memory, and so they are read whole.
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
    """The time as a verdict tells it."""
    return datetime.now(UTC).strftime(_TIME)


def caption_sha256(caption: str) -> str:
    """SHA-256 (hex) of a caption, as in the annotation tables."""
    return hashlib.sha256(caption.encode()).hexdigest()


# ------------------------------------------------------------------------------------------------------------ writing


def append_verdicts(store: Store, verdicts: Sequence[Verdict]) -> str:
    """Save verdicts as one new file; returns its name in the store. ValueError for none."""
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
    """What holds now, by picture and caption, oldest first; ``digest`` of the whole table, None where there is none."""

    by_caption: Mapping[CaptionKey, tuple[Verdict, ...]] = field(default_factory=dict)
    digest: str | None = None
    _images: frozenset[str] = frozenset()

    def of(self, labels: SampleLabels) -> tuple[Verdict, ...]:
        """Those of a sample; the caption is digested only where its picture was looked at."""
        if labels.image_sha256 not in self._images:
            return ()
        return self.by_caption.get((labels.image_sha256, caption_sha256(labels.caption)), ())

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.by_caption.values())


def _holding(rows: Iterable[Verdict]) -> list[Verdict]:
    """The latest verdict of each target, but for those withdrawn. Rows in the order in which they were given."""
    latest: dict[Target, Verdict] = {}
    for row in rows:
        target = target_of(row)
        latest.pop(target, None)  # the latest of all stands last
        latest[target] = row
    return [row for row in latest.values() if row.verdict != "withdrawn"]


def caption_of(verdict: Verdict) -> CaptionKey:
    """What sample a verdict is about."""
    return (verdict.image_sha256, verdict.caption_sha256)


def target_of(verdict: Verdict) -> Target:
    """What a verdict is about; coordinates to a hundredth of a pixel, as boxes are stored."""
    x1, y1, x2, y2 = (round(value, 2) for value in verdict.box_xyxy)
    return (verdict.image_sha256, verdict.caption_sha256, verdict.start, verdict.end, (x1, y1, x2, y2))


class VerdictLog:
    """The table of one dataset, which others write to as well: :meth:`refresh` reads what came since.

    One thread refreshes at a time; what was said of a caption may be asked meanwhile. ``len`` is how many verdicts
    hold."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, str] = {}  # SHA-256 of the files by name
        self._given: dict[CaptionKey, list[tuple[str, str, Verdict]]] = {}  # with time and file, in their order
        self._held: dict[CaptionKey, tuple[Verdict, ...]] = {}
        self._count = 0
        self._latest = ""

    def refresh(self) -> Mapping[CaptionKey, tuple[Verdict, ...]]:
        """Read the files that are new; what holds now of the captions that they are about. ValueError where one is no
        table of verdicts: then none of them counts as read."""
        names = [name for name in self._store.names(VERDICTS) if name not in self._read and _NAME.fullmatch(name)]
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
        """Every verdict ever given of a caption, by time, and by name of its file where two are of one moment."""
        return [row for _, _, row in self._given.get(caption, [])]

    def held(self, caption: CaptionKey) -> tuple[Verdict, ...]:
        """What holds of it now."""
        return self._held.get(caption, ())

    def __len__(self) -> int:
        return self._count

    def time_of_next(self) -> str:
        """The time of a verdict given now. It is after all that were read, also where a clock was put back or another
        reviewer's is ahead: of one box the latest counts."""
        if (told := now()) > self._latest:
            return told
        return (datetime.strptime(self._latest, _TIME) + timedelta(microseconds=1)).strftime(_TIME)

    def verdicts(self) -> Verdicts:
        """What holds of all of them now."""
        held = {caption: rows for caption, rows in self._held.items() if rows}
        return Verdicts(held, digest_of(self._read) if self._read else None, frozenset(image for image, _ in held))


def read_verdicts(store: Store) -> Verdicts:
    """What holds now of a dataset; nothing where nobody reviewed. ValueError where a file is no table of verdicts."""
    log = VerdictLog(store)
    log.refresh()
    return log.verdicts()


def verdict_problems(store: Store) -> list[str]:
    """What is wrong with the table, a line for each file; none where it is whole, or where there is none."""
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
