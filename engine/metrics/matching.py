"""Which detection takes which human box, as COCO's evaluation does it.

In: pictures with human boxes and detections of classes. Out: for each range of areas and each IoU threshold, whether a
detection took a human box, and whether it counts. Source: Lin et al., "Microsoft COCO" (ECCV 2014) and pycocotools'
``COCOeval.evaluateImg``, with which the tests compare.

Within a picture and a class, the best detection comes first and takes, of the human boxes still free at that threshold,
the one that it overlaps most (of equals the last), a box that counts before one that is ignored. Ignored are human
boxes outside the range of areas or *difficult*, detections that took one, and those outside the range that took none.
Ignored are also crowds: one takes any number of detections, and overlap is the share of a detection that lies in it.
The area of a human box is that of its mask where the annotations state it.

All pictures, ranges and thresholds are done at once: first the best contender (a detection that overlaps something) of
every picture and class, then the second ones, and so on, so that the loop is as long as the longest such list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.metrics.class_boxes import Flags, Pairs, Pictures, group_starts, overlapping
from engine.metrics.overlap import paired_share_inside

THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREAS = np.array([(0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10)])  # all, small, medium, large


@dataclass(frozen=True, slots=True)
class Matches:
    """``right`` and ``ignored`` [A, T, N] of N detections, and which of G human boxes are to be found, [A, G]."""

    right: Flags
    ignored: Flags
    wanted: Flags


def match(pictures: Pictures) -> Matches:
    """The matches of all ranges of areas and thresholds."""
    boxes = len(pictures.human)
    wanted = np.zeros((len(AREAS), boxes + len(pictures.crowds)), dtype=np.bool_)  # crowds come after the boxes
    wanted[:, :boxes] = _inside(pictures.human_areas) & ~pictures.difficult
    right = np.zeros((len(AREAS), len(THRESHOLDS), len(pictures.found)), dtype=np.bool_)
    ignored = np.repeat(~_inside(pictures.found.areas())[:, None], len(THRESHOLDS), axis=1)
    free = np.ones((len(AREAS), len(THRESHOLDS), wanted.shape[1]), dtype=np.bool_)
    for pairs in _by_contender(pictures, _contending(pictures)):
        area, threshold, pair = _best_free(pairs, free, wanted)
        found, human = pairs.found[pair], pairs.human[pair]
        free[area, threshold, human] = human >= boxes
        right[area, threshold, found] = True
        ignored[area, threshold, found] = ~wanted[area, human]
    return Matches(right, ignored, wanted[:, :boxes])


def _contending(pictures: Pictures) -> Pairs:
    """The pairs of detections and human boxes, and of detections and crowds."""
    boxes = overlapping(pictures.found, pictures.human, THRESHOLDS[0])
    crowds = overlapping(pictures.found, pictures.crowds, THRESHOLDS[0], paired_share_inside)
    return Pairs(
        np.concatenate([boxes.found, crowds.found]),
        np.concatenate([boxes.human, crowds.human + len(pictures.human)]),
        np.concatenate([boxes.iou, crowds.iou]),
    )


def _inside(areas: NDArray[np.float64]) -> Flags:
    """Whether each area is in each range, bounds included, [A, N]."""
    inside: Flags = (areas >= AREAS[:, :1]) & (areas <= AREAS[:, 1:])
    return inside


def _by_contender(pictures: Pictures, pairs: Pairs) -> Iterator[Pairs]:
    """The pairs of the first contender of every picture and class, those of the second, and so on; of a detection by
    rising IoU, equal ones by human box."""
    pairs = pairs.take(np.lexsort((pairs.human, pairs.iou, pairs.found)))
    contenders, of_pair = np.unique(pairs.found, return_inverse=True)
    starts = np.flatnonzero(group_starts(pictures, contenders))
    place = np.arange(len(contenders)) - np.repeat(starts, np.diff([*starts, len(contenders)]))
    order = np.argsort(place[of_pair], kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(place[of_pair]))[:-1]) if len(order) else ():
        yield pairs.take(rows)


def _best_free(pairs: Pairs, free: Flags, wanted: Flags) -> tuple[NDArray[np.int64], ...]:
    """For each range, threshold and detection that finds a free human box: number of the range, of the threshold, and
    of the pair that is best, a later one being better than an earlier one of the same detection."""
    starts = np.flatnonzero(np.concatenate([[True], np.diff(pairs.found) > 0]))
    can = (pairs.iou >= THRESHOLDS[:, None]) & free[:, :, pairs.human]
    merit = np.arange(1, len(pairs.found) + 1) + len(pairs.found) * wanted[:, None, pairs.human]
    best = np.maximum.reduceat(np.where(can, merit, 0), starts, axis=2)
    area, threshold, place = np.nonzero(best)
    return area, threshold, (best[area, threshold, place] - 1) % len(pairs.found)
