"""How much a calibration can be trusted: fitted on one half of the pictures, judged on the other.

In: judged boxes. Out: reliability before (the raw score taken for a precision) and after, and what a target precision
came to. Pictures, not boxes, are split: the boxes of one picture are no independent witnesses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.calibration import Curve, Evidence, Floats, fit_groups
from schemas.calibration import CalibrationGroup, HeldOut, Reliability, ReliabilityBin, TargetCheck

BINS = 10
TARGETS = (0.3, 0.5, 0.7, 0.9)


def check_on_held_out(
    evidence: Evidence, *, seed: int, min_score: float, shrinkage: float, confidence: float, target: float
) -> HeldOut:
    """Fit on half of the pictures, drawn by ``seed``, and judge by the rest; ValueError with fewer than two."""
    fitted_on = _half_of_the_pictures(evidence, seed)
    first, second = evidence.take(fitted_on), evidence.take(~fitted_on)
    groups = fit_groups(first, min_score=min_score, shrinkage=shrinkage, confidence=confidence)
    return HeldOut(
        pictures_fitted=len(np.unique(first.pictures)),
        pictures_held_out=len(np.unique(second.pictures)),
        boxes_held_out=len(second),
        raw=reliability(second.scores, second.right),
        calibrated=reliability(predict(groups, second), second.right),
        targets=[check_target(groups, second, one) for one in sorted({*TARGETS, target})],
    )


def _half_of_the_pictures(evidence: Evidence, seed: int) -> NDArray[np.bool_]:
    pictures = np.unique(evidence.pictures)
    if len(pictures) < 2:
        raise ValueError(f"{len(pictures)} pictures with an answer cannot be halved; calibrate on more human data")
    half = np.random.default_rng(seed).permutation(pictures)[: len(pictures) // 2]
    return np.isin(evidence.pictures, half)


def predict(groups: Sequence[CalibrationGroup], evidence: Evidence) -> Floats:
    """The precision that the groups' curves give each box, [N]."""
    predicted = np.zeros(len(evidence))
    for number, group in enumerate(groups):
        inside = evidence.groups == number
        predicted[inside] = Curve(np.asarray(group.scores), np.asarray(group.precision))(evidence.scores[inside])
    return predicted


def reliability(predicted: Floats, right: NDArray[np.bool_]) -> Reliability:
    """Predictions against what came, in ten equal bins of the prediction, and the expected calibration error."""
    place = np.minimum((predicted * BINS).astype(np.int64), BINS - 1)
    boxes = np.bincount(place, minlength=BINS)
    told = np.bincount(place, weights=predicted, minlength=BINS)
    came = np.bincount(place, weights=right, minlength=BINS)
    bins = [
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            boxes=int(count),
            predicted=round(float(told[number] / count), 6) if count else None,
            precision=round(float(came[number] / count), 6) if count else None,
        )
        for number, count in enumerate(boxes)
    ]
    error = round(float(np.abs(told - came).sum() / len(predicted)), 6) if len(predicted) else None
    return Reliability(error=error, bins=bins)


def check_target(groups: Sequence[CalibrationGroup], evidence: Evidence, target: float) -> TargetCheck:
    """What the groups keep of the boxes at a target precision, and how much of it is right."""
    lowest = [group.min_score(target) for group in groups]
    bars = np.asarray([np.inf if score is None else score for score in lowest])
    kept = evidence.scores >= bars[evidence.groups]
    right = int(evidence.right[kept].sum())
    return TargetCheck(
        target=target,
        boxes=len(evidence),
        kept=int(kept.sum()),
        right=right,
        precision=right / int(kept.sum()) if kept.any() else None,
        groups_out_of_reach=[group.name for group, score in zip(groups, lowest, strict=True) if score is None],
    )
