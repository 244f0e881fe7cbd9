"""What a calibration keeps at a target precision: the lowest score of each group of boxes.

In: ``calibration.json`` and a target. Out: :class:`CalibratedScores`, all that the selection ``calibrated`` needs to
know, by value: a worker opens no file, and a fingerprint over it covers what decides the selection.

The groups: how frequent the phrase's head lemma is, and how large the box is in its picture. Size is the share of the
picture that the box covers, since every teacher resizes pictures to its own size: COCO's bounds of 32 x 32 and 96 x 96
pixels, taken in a picture of 640 x 480.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from engine.artifacts import Store
from schemas.calibration import BOX_SIZES, BoxSize, Calibration, Frequency
from schemas.recipes import Recipe

COCO_PICTURE = 640 * 480
MEDIUM_FROM, LARGE_FROM = 32 * 32 / COCO_PICTURE, 96 * 96 / COCO_PICTURE  # shares of the picture
MAX_CALIBRATION_BYTES = 200_000_000


class CalibratedScores(Recipe):
    """The lowest score kept of each group, by its name (``tail/small``); None where the target is out of reach."""

    calibration: str
    """SHA-256 of the document."""
    teacher: str
    """Digest of the teacher whose scores these are."""
    precision: float
    """The target."""
    frequencies: dict[str, Frequency]
    """Group of each head lemma; ``unseen`` where it is not here."""
    min_scores: dict[str, float | None]


def size_numbers(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """The size groups of boxes that cover such shares of their pictures, as numbers of ``BOX_SIZES``."""
    return (shares >= MEDIUM_FROM).astype(np.int64) + (shares >= LARGE_FROM)


def box_size_of_share(share: float) -> BoxSize:
    """The size group of a box that covers such a share of its picture."""
    return BOX_SIZES[int(size_numbers(np.array(share)))]


def file_in_store(path: str) -> tuple[Store, str]:
    """The folder of a file as a store, and the file's name in it."""
    name = PurePosixPath(path).name
    return Store(path[: -len(name)].rstrip("/") or ("/" if path.startswith("/") else ".")), name


def read_calibration(path: str) -> tuple[Calibration, str]:
    """The document at ``path`` (local, ``s3://``), and its SHA-256. ValueError where it is none."""
    store, name = file_in_store(path)
    try:
        content = store.read(name, MAX_CALIBRATION_BYTES)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ValueError(f"there is no calibration {path}; `glip-engine calibrate` writes one") from None
    try:
        document = Calibration.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise ValueError(f"{path} is not a calibration of this version: {field}: {first['msg']}") from None
    return document, hashlib.sha256(content).hexdigest()


def calibrated_scores(path: str, precision: float | None) -> CalibratedScores:
    """The lowest scores of the calibration at ``path`` for a target precision; its own target where None.

    ValueError where there is no such document, or where no group at all reaches the target.
    """
    document, digest = read_calibration(path)
    target = document.precision if precision is None else precision
    if not 0 < target < 1:
        raise ValueError(f"a target precision lies between 0 and 1, not {target}")
    min_scores = {group.name: group.min_score(target) for group in document.groups}
    if all(score is None for score in min_scores.values()):
        best = max((point.lower_bound for group in document.groups for point in group.points), default=0.0)
        raise ValueError(
            f"no score of {path} reaches a precision of {target} (the best bound is {best:.2f}); lower the target, or "
            "calibrate on more pictures"
        )
    return CalibratedScores(
        calibration=digest,
        teacher=document.teacher_digest,
        precision=target,
        frequencies=document.frequencies,
        min_scores=min_scores,
    )
