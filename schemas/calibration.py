"""``calibration.json``: which precision a teacher's scores mean, by how frequent the phrase is and how large the box.

Written by ``glip-engine calibrate`` from human annotations, read by the selection ``calibrated``. It belongs to one
teacher; ``teacher_digest`` says which.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from schemas.reports import Document

Frequency = Literal["head", "mid", "tail", "unseen"]
BoxSize = Literal["small", "medium", "large"]
FREQUENCIES: tuple[Frequency, ...] = ("head", "mid", "tail", "unseen")
BOX_SIZES: tuple[BoxSize, ...] = ("small", "medium", "large")


def group_name(frequency: str, size: str) -> str:
    """``tail/small``"""
    return f"{frequency}/{size}"


GROUPS = tuple(group_name(frequency, size) for frequency in FREQUENCIES for size in BOX_SIZES)
"""Every group by its name, in the order in which they are numbered."""


class PrecisionPoint(Document):
    """The boxes of a group that score at least ``min_score``: how many, in how many pictures, which share is right.

    ``precision`` is drawn towards that of all groups where the pictures are few; ``lower_bound`` is Wilson's for it.
    """

    min_score: float
    boxes: int
    pictures: int
    precision: float
    lower_bound: float


class CalibrationGroup(Document):
    """One group of boxes: its evidence, its curve, and what each lowest score would keep.

    ``precision[i]`` is the expected precision of a box whose score is ``scores[i]`` or more, but less than the next
    one; it never falls. ``borrowed_from`` names another group whose evidence is used, because this one has none.
    """

    frequency: Frequency
    size: BoxSize
    boxes: int
    right: int
    pictures: int
    borrowed_from: str | None = None
    scores: list[float] = Field(min_length=1)
    precision: list[float]
    points: list[PrecisionPoint]

    @property
    def name(self) -> str:
        return group_name(self.frequency, self.size)

    @model_validator(mode="after")
    def _curve_never_falls(self) -> CalibrationGroup:
        if len(self.scores) != len(self.precision) or self.precision != sorted(self.precision):
            raise ValueError(f"group {self.name}: the curve wants one precision a score, none below the one before")
        return self

    def min_score(self, precision: float) -> float | None:
        """The lowest score from which the lower bound reaches ``precision``; None where no score reaches it."""
        return next((point.min_score for point in self.points if point.lower_bound >= precision), None)


class ReliabilityBin(Document):
    """Boxes whose predicted precision lies in ``[low, high)``: the mean of what was predicted, and the share right."""

    low: float
    high: float
    boxes: int
    predicted: float | None
    precision: float | None


class Reliability(Document):
    """How far predictions are from what came: ``error`` is the expected calibration error, the mean distance of
    predicted and found precision over bins, weighted by boxes; None where there are none."""

    error: float | None
    bins: list[ReliabilityBin]


class TargetCheck(Document):
    """A target precision on pictures that were not fitted on: what was kept of their boxes, and the share right."""

    target: float
    boxes: int
    kept: int
    right: int
    precision: float | None
    groups_out_of_reach: list[str]


class HeldOut(Document):
    """What a fit on one half of the pictures is worth on the other half."""

    pictures_fitted: int
    pictures_held_out: int
    boxes_held_out: int
    raw: Reliability
    calibrated: Reliability
    targets: list[TargetCheck]


class Calibration(Document):
    """The whole document. Groups are fitted on all pictures; ``held_out`` judges the same fit on one half of them.

    ``frequencies`` has the group of every head lemma that was counted; a lemma that is not in it is ``unseen``.
    ``precision`` is the target of readers that name none. ``made_from`` has the digest of each dataset by its
    path: the human ones, and those that phrases were counted in; and of their tables, ``verdicts:PATH`` and
    ``duplicates:PATH``.
    """

    format: Literal["glip-engine/calibration/1"] = "glip-engine/calibration/1"
    teacher_digest: str
    precision: float = Field(gt=0, lt=1)
    recipe: dict[str, object] = {}
    made_from: dict[str, str]
    min_iou: float
    frequencies: dict[str, Frequency]
    groups: list[CalibrationGroup]
    held_out: HeldOut

    @model_validator(mode="after")
    def _every_group_is_there(self) -> Calibration:
        if tuple(group.name for group in self.groups) != GROUPS:
            raise ValueError(f"the groups are to be {', '.join(GROUPS)}, in this order")
        return self
