"""What reviewers said of boxes: one row a verdict, in ``verdicts/*.parquet`` of a dataset, written once and kept.

A verdict is bound to what was looked at, not to where it is stored: the picture's SHA-256, the caption's, the
characters of the phrase, and the box. A dataset that is labelled again keeps it.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
from pydantic import Field, model_validator

from schemas.reports import Document
from schemas.shards import CORNERS, Coordinate

VerdictWord = Literal["accepted", "rejected", "corrected", "added", "withdrawn"]
DRAWN: frozenset[VerdictWord] = frozenset({"corrected", "added"})  # those that bring a box of their own
MAX_REVIEWER_CHARS = 100
Box = tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class Verdict(Document):
    """One verdict; of one target the latest counts, whoever gave it, and ``withdrawn`` takes back what came before.

    ``accepted``: the box is right as it is. ``rejected``: it is not. ``corrected``: the thing is at ``drawn_xyxy``.
    ``added``: a box that the reviewer drew and nobody proposed; its target is the box as it was first drawn.
    """

    at: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$", description="UTC, to the microsecond")
    reviewer: str = Field(min_length=1, max_length=MAX_REVIEWER_CHARS)
    verdict: VerdictWord
    image_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    caption_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    key: str = Field(min_length=1, description="of the sample when it was looked at; nothing is looked up by it")
    phrase_text: str
    start: int = Field(ge=0, description="half-open characters of the caption")
    end: int = Field(gt=0)
    box_xyxy: Box = Field(description="the target: pixels of the stored picture")
    drawn_xyxy: Box | None = Field(default=None, description="of corrected and added: where the thing is")
    score: float | None = Field(default=None, ge=0, le=1, description="the teacher's, of the box that was looked at")
    teacher_digest: str | None = None

    @model_validator(mode="after")
    def _box_is_one(self) -> Verdict:
        if (self.drawn_xyxy is not None) != (self.verdict in DRAWN):
            raise ValueError(f"a verdict {self.verdict!r} has {'no ' if self.drawn_xyxy else 'a '}box of its own")
        for box in (self.box_xyxy, self.drawn_xyxy or self.box_xyxy):
            if not (box[0] <= box[2] and box[1] <= box[3]):
                raise ValueError(f"xyxy {box} is not a box: its corners are in the wrong order")
        return self

    @property
    def true_xyxy(self) -> Box:
        """The box that the reviewer drew, else the judged one; for a rejected verdict that is where the thing is
        not."""
        return self.drawn_xyxy or self.box_xyxy


DRAWN_CORNERS = tuple(f"drawn_{name}" for name in CORNERS)

VERDICT_SCHEMA = pa.schema(
    [
        ("at", pa.string()),
        ("reviewer", pa.string()),
        ("verdict", pa.string()),
        ("image_sha256", pa.string()),
        ("caption_sha256", pa.string()),
        ("key", pa.string()),
        ("phrase_text", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        *((name, pa.float64()) for name in CORNERS),
        *((name, pa.float64()) for name in DRAWN_CORNERS),  # null but for corrected and added
        ("score", pa.float64()),  # null for a box that no teacher proposed
        ("teacher_digest", pa.string()),  # null for human data
    ]
)
