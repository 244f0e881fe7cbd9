"""Overlap of boxes: intersection over union, in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.records import BoxXYXY

Boxes = NDArray[np.float64]


def as_boxes(boxes_xyxy: Sequence[BoxXYXY]) -> Boxes:
    """Boxes as an array of shape [N, 4], also for N = 0."""
    return np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)


def areas(boxes_xyxy: Boxes) -> NDArray[np.float64]:
    """Areas [N] of boxes [N, 4]."""
    result: NDArray[np.float64] = (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])
    return result


def intersections(left_xyxy: Boxes, right_xyxy: Boxes) -> NDArray[np.float64]:
    """Area shared by each pair of boxes: [N, 4] and [M, 4] give [N, M]."""
    corner_min = np.maximum(left_xyxy[:, None, :2], right_xyxy[None, :, :2])
    corner_max = np.minimum(left_xyxy[:, None, 2:], right_xyxy[None, :, 2:])
    sides = np.clip(corner_max - corner_min, 0.0, None)
    shared: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return shared


def iou(left_xyxy: Boxes, right_xyxy: Boxes) -> NDArray[np.float64]:
    """Intersection over union of each pair: [N, 4] and [M, 4] give [N, M]; 0 where both boxes have no area."""
    shared = intersections(left_xyxy, right_xyxy)
    union = areas(left_xyxy)[:, None] + areas(right_xyxy)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def share_inside(left_xyxy: Boxes, right_xyxy: Boxes) -> NDArray[np.float64]:
    """The share of the area of each left box that lies in each right one: [N, 4] and [M, 4] give [N, M]; 0 for a box
    without area."""
    shared, own = intersections(left_xyxy, right_xyxy), areas(left_xyxy)[:, None]
    return np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)


def paired_iou(left_xyxy: Boxes, right_xyxy: Boxes) -> NDArray[np.float64]:
    """Intersection over union row by row: [N, 4] and [N, 4] give [N]; 0 where both boxes have no area."""
    shared = _paired_intersections(left_xyxy, right_xyxy)
    union = areas(left_xyxy) + areas(right_xyxy) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def paired_share_inside(left_xyxy: Boxes, right_xyxy: Boxes) -> NDArray[np.float64]:
    """:func:`share_inside` row by row: [N, 4] and [N, 4] give [N]."""
    shared, own = _paired_intersections(left_xyxy, right_xyxy), areas(left_xyxy)
    return np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)


def _paired_intersections(left_xyxy: Boxes, right_xyxy: Boxes) -> NDArray[np.float64]:
    sides = np.minimum(left_xyxy[:, 2:], right_xyxy[:, 2:]) - np.maximum(left_xyxy[:, :2], right_xyxy[:, :2])
    sides = np.clip(sides, 0.0, None)
    shared: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return shared
