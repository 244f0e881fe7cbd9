"""A metric on resamples of the images: what a bootstrap needs.

In: an evaluation report and, for each resample, how often each image was drawn. Out: the metric's value on each
resample, computed exactly: means as weighted means over the things they were taken over, average precision by
accumulating the matches again with the drawn images counted as often as they were drawn (as pycocotools would, or
Pascal VOC's development kit).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.reports import ClassMatches, DetectionMatches, EvaluationReport

THRESHOLDS: dict[str, Iterable[int]] = {"AP": range(10), "AP50": (0,), "AP75": (5,)}  # numbers of IoU thresholds
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
# Draws [R, N] of floats for R resamples and N detections are held at once; this bounds them to about 100 MB.
MAX_CELLS = 4_000_000
ROWS_TOGETHER = 64  # a matrix product goes over rows by such blocks: parts of whole ones give the same last digit

Draws = NDArray[np.float64]
Area = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""The mean precision [R], from the best precision from each right detection on and how many are right up to there, both
[R, K] and K > 0, and how many things there are to be found, [R] and at least 1."""


def image_keys(report: EvaluationReport, metric: str) -> set[str]:
    """The images that the metric can be resampled over; none where the report does not hold what that takes."""
    if metric in report.per_image:
        return set(report.per_image[metric])
    matches = _matches(report, metric)
    return set(matches.images) if matches is not None and _classes(matches, metric) else set()


def images_with_things(report: EvaluationReport, metric: str) -> set[str]:
    """The :func:`image_keys` of images in which there is something to find: on a resample without any of them the
    metric is not defined."""
    matches = None if metric in report.per_image else _matches(report, metric)
    if matches is None:
        return image_keys(report, metric)
    return {matches.images[image] for one in _classes(matches, metric) for image in one.gold}


def image_draws(images: int, resamples: int, random: np.random.Generator) -> Iterator[Draws]:
    """How often each of ``images`` (1 or more) is drawn in each resample, [R, I], in parts of bounded memory, one after
    the other: their rows are those that ``random`` draws at once."""
    step = max(1, MAX_CELLS // images)
    step -= step % ROWS_TOGETHER if step > ROWS_TOGETHER else 0
    chances = np.full(images, 1 / images)
    for at in range(0, resamples, step):
        yield random.multinomial(images, chances, size=min(step, resamples - at)).astype(np.float64)


def resampled(report: EvaluationReport, metric: str, keys: list[str], draws_RI: Draws) -> NDArray[np.float64]:
    """The metric's value [R] on each resample of the images ``keys``; ``draws_RI`` says how often each was drawn.

    NaN for a resample in which the metric is not defined (nothing to find was drawn). ``keys`` are of
    :func:`image_keys`.
    """
    if metric in report.per_image:
        values = np.array([report.per_image[metric][key] for key in keys])
        counts = np.array([report.per_image_count.get(metric, {}).get(key, 1) for key in keys], dtype=np.float64)
        return _ratio(draws_RI @ (values * counts), draws_RI @ counts)
    matches = _matches(report, metric)
    if matches is None:
        raise ValueError(f"{metric!r} of {report.dataset} cannot be resampled: the report holds no values of images")
    return _resampled_precision(matches, metric, keys, draws_RI)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _matches(report: EvaluationReport, metric: str) -> DetectionMatches | None:
    parts = _parts(metric)
    if parts is None or parts["kit"] is None:
        return report.detections
    return report.federated if parts["kit"] == "lvis_" else report.voc


def _parts(metric: str) -> re.Match[str] | None:
    """``AP50``; ``AP50/person`` of a class; ``AP50:tail`` and ``lvis_APr`` of a group of classes; ``voc07_AP``."""
    return re.fullmatch(
        r"(?P<kit>lvis_|voc07_(?=AP\b)|voc12_(?=AP\b))?(?P<kind>AP|AP50|AP75)"
        r"((?P<r>[rcf])|:(?P<group>[^/]+)|/(?P<name>.+))?",
        metric,
    )


def _classes(matches: DetectionMatches, metric: str) -> list[ClassMatches]:
    """The classes a metric's name speaks of; none where it is no average precision of some."""
    parts = _parts(metric)
    if parts is None:
        return []
    name, group = parts["name"], parts["group"] or parts["r"]
    return [one for one in matches.classes if name in (None, one.name) and (group is None or group in one.groups)]


def _resampled_precision(
    matches: DetectionMatches, metric: str, keys: list[str], draws_RI: Draws
) -> NDArray[np.float64]:
    parts = _parts(metric)
    assert parts is not None, "the caller has looked for the metric's images"
    area = AREAS.get(parts["kit"], _mean_at_101_recalls)
    thresholds = (0,) if parts["kit"] in AREAS else THRESHOLDS[parts["kind"]]
    positions = {key: position for position, key in enumerate(keys)}
    columns = np.array([positions.get(key, -1) for key in matches.images])
    classes = [_Detections.of(one) for one in _classes(matches, metric)]
    step = max(1, MAX_CELLS // max(1, len(columns)))
    pieces = []
    for at in range(0, len(draws_RI), step):
        some_RI = np.pad(draws_RI[at : at + step], ((0, 0), (0, 1)))[:, columns]  # column -1: not drawn
        found = [values for one in classes for values in _class_precision(one, thresholds, some_RI, area)]
        stacked = np.stack(found)
        defined = ~np.isnan(stacked)
        pieces.append(_ratio(np.where(defined, stacked, 0.0).sum(axis=0), defined.sum(axis=0).astype(np.float64)))
    return np.concatenate(pieces)


class _Detections(NamedTuple):
    """N detections of one class and the image of each human box, as arrays; fields as in
    :class:`~schemas.reports.ClassMatches`."""

    image_N: NDArray[np.int32]
    right_N: NDArray[np.int32]
    ignored_N: NDArray[np.int32]
    gold: NDArray[np.int32]

    @classmethod
    def of(cls, one: ClassMatches) -> _Detections:
        return cls(*(np.array(column, dtype=np.int32) for column in (one.image, one.right, one.ignored, one.gold)))


def _class_precision(
    one: _Detections, thresholds: Iterable[int], draws_RI: Draws, area: Area
) -> list[NDArray[np.float64]]:
    """Average precision [R] of one class at each IoU threshold, in pieces of bounded memory."""
    step = max(1, MAX_CELLS // max(1, len(one.image_N), len(one.gold)))
    pieces = [
        _precision_of_some(one, thresholds, draws_RI[at : at + step], area) for at in range(0, len(draws_RI), step)
    ]
    return [np.concatenate(of_threshold) for of_threshold in zip(*pieces, strict=True)]


def _precision_of_some(
    one: _Detections, thresholds: Iterable[int], draws_RI: Draws, area: Area
) -> list[NDArray[np.float64]]:
    """Average precision [R] at each threshold. Cumulative counts are shared by thresholds that ignore the same
    detections."""
    drawn_RN, wanted_R = draws_RI[:, one.image_N], draws_RI[:, one.gold].sum(axis=1)
    seen: dict[bytes, NDArray[np.float64]] = {}
    found = []
    for threshold in thresholds:
        counted_N = (one.ignored_N >> threshold) & 1 == 0
        correct_N = counted_N & ((one.right_N >> threshold) & 1 == 1)
        which = counted_N.tobytes()
        if which not in seen:
            seen[which] = np.cumsum(drawn_RN if counted_N.all() else drawn_RN * counted_N, axis=1)
        found.append(_accumulate(drawn_RN[:, correct_N], seen[which][:, correct_N], wanted_R, area))
    return found


def _accumulate(
    drawn_RK: NDArray[np.float64], seen_RK: NDArray[np.float64], wanted_R: NDArray[np.float64], area: Area
) -> NDArray[np.float64]:
    """Mean precision [R] over recall, vectorised over resamples; NaN where nothing is to be found.

    Precision and recall rise at right detections only, so only these K are given: how often each was drawn, and how
    many detections had been seen up to it.
    """
    if not drawn_RK.shape[1]:
        return np.where(wanted_R > 0, 0.0, np.nan)
    true_RK = np.cumsum(drawn_RK, axis=1)
    precision_RK = true_RK / np.maximum(seen_RK, np.finfo(np.float64).eps)
    envelope_RK = np.maximum.accumulate(precision_RK[:, ::-1], axis=1)[:, ::-1]
    return np.where(wanted_R > 0, area(envelope_RK, true_RK, np.maximum(wanted_R, 1.0)), np.nan)


def _mean_at_101_recalls(
    envelope_RK: NDArray[np.float64], true_RK: NDArray[np.float64], wanted_R: NDArray[np.float64]
) -> NDArray[np.float64]:
    """pycocotools' ``accumulate``: each right detection takes the recall points that it is the first to reach."""
    reached_RK = np.searchsorted(RECALL_POINTS, true_RK / wanted_R[:, None], side="right")
    return _mean_where_reached(envelope_RK, true_RK, reached_RK.astype(np.float64), len(RECALL_POINTS))


def _mean_at_11_recalls(
    envelope_RK: NDArray[np.float64], true_RK: NDArray[np.float64], wanted_R: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pascal VOC 2007: recall 0, 0.1, ..., 1, in whole numbers as :func:`engine.metrics.voc.eleven_point_area`."""
    return _mean_where_reached(envelope_RK, true_RK, np.floor_divide(10 * true_RK, wanted_R[:, None]) + 1, 11)


def _area_under_curve(
    envelope_RK: NDArray[np.float64], true_RK: NDArray[np.float64], wanted_R: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pascal VOC 2010-2012: recall grows by as much as a right detection was drawn."""
    area_R: NDArray[np.float64] = (envelope_RK * np.diff(true_RK, axis=1, prepend=0)).sum(axis=1) / wanted_R
    return area_R


def _mean_where_reached(
    envelope_RK: NDArray[np.float64], true_RK: NDArray[np.float64], reached_RK: NDArray[np.float64], points: int
) -> NDArray[np.float64]:
    reached_RK[true_RK == 0] = 0  # before the first right detection that was drawn, not even recall 0 is reached
    mean_R: NDArray[np.float64] = (envelope_RK * np.diff(reached_RK, axis=1, prepend=0)).sum(axis=1) / points
    return mean_R


AREAS: dict[str | None, Area] = {"voc07_": _mean_at_11_recalls, "voc12_": _area_under_curve}
