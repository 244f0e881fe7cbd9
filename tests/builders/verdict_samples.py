"""Verdicts as a reviewer gives them, on samples of the tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from tempfile import TemporaryDirectory

from engine.artifacts import Store
from engine.review.verdicts import Verdicts, append_verdicts, caption_sha256, read_verdicts
from schemas.records import BoxXYXY
from schemas.shards import SampleLabels
from schemas.verdicts import Verdict, VerdictWord

_seconds = count()


def said(
    labels: SampleLabels,
    phrase: int,
    word: VerdictWord,
    target: BoxXYXY,
    drawn: BoxXYXY | None = None,
    *,
    reviewer: str = "ann",
    at: str | None = None,
) -> Verdict:
    """A verdict on a box of phrase number ``phrase``; each call is a second later than the one before."""
    second = next(_seconds)
    text = labels.phrases[phrase]
    return Verdict(
        at=at or f"2026-01-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000000Z",
        reviewer=reviewer,
        verdict=word,
        image_sha256=labels.image_sha256,
        caption_sha256=caption_sha256(labels.caption),
        key=labels.key,
        phrase_text=text.text,
        start=text.start,
        end=text.end,
        box_xyxy=target,
        drawn_xyxy=drawn,
    )


def held(verdicts: Sequence[Verdict]) -> Verdicts:
    """What holds of verdicts that were saved, as it is read."""
    with TemporaryDirectory() as folder:
        if verdicts:
            append_verdicts(Store(folder), verdicts)
        return read_verdicts(Store(folder))
