"""Score to precision, fitted on human annotations: how often a box of this score, of such a phrase and size, is right.

In: what a teacher answers to human-annotated samples. Out: a curve for each group of boxes, and for each lowest score
the precision of what it keeps, with a lower bound. A box is right when its IoU with a human box of its phrase is at
least 0.5.

Curves are isotonic: precision never falls as the score rises, nothing else is assumed. Groups with few pictures are
drawn towards the curve of all. Bounds are Wilson's, one-sided, and count pictures rather than boxes: the boxes of one
picture stand or fall together. Sources: Zadrozny and Elkan 2002 (isotonic calibration), Wilson 1927, Guo et al. 2017
(expected calibration error).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from engine.metrics import ImageResult
from engine.metrics.overlap import areas, as_boxes, iou
from engine.selecting.calibrated_scores import size_numbers
from schemas.calibration import BOX_SIZES, FREQUENCIES, BoxSize, CalibrationGroup, Frequency, PrecisionPoint, group_name

MIN_IOU = 0.5
HEAD_SHARE, MID_SHARE = 0.5, 0.9  # of all phrases: those of the most frequent heads, down to these shares
STEP = 0.01  # between the lowest scores that are looked at
UNSEEN_FROM = FREQUENCIES.index("unseen") * len(BOX_SIZES)  # number of the first group of unseen phrases

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Judged boxes, as columns of the same length: raw score, whether right, group number, number of the picture.

    Groups are numbered as in ``schemas.calibration``: frequency by frequency, and size by size within.
    """

    scores: Floats
    right: NDArray[np.bool_]
    groups: NDArray[np.int64]
    pictures: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, chosen: NDArray[np.bool_]) -> Evidence:
        """The boxes that a mask chooses."""
        return Evidence(self.scores[chosen], self.right[chosen], self.groups[chosen], self.pictures[chosen])

    @classmethod
    def of_parts(cls, parts: Sequence[Evidence]) -> Evidence:
        """The boxes of at least one part after another."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))


NO_EVIDENCE = Evidence(np.zeros(0), np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Curve:
    """A step function that never falls: ``precision[i]`` from ``scores[i]`` on; below the first step as on it."""

    scores: Floats
    precision: Floats

    def __call__(self, scores: Floats) -> Floats:
        found: Floats = self.precision[np.clip(np.searchsorted(self.scores, scores, side="right") - 1, 0, None)]
        return found


def frequency_groups(counts: Mapping[str, int]) -> dict[str, Frequency]:
    """Head lemmas by how often they occur: ``head`` are the most frequent that together make up half of all phrases,
    ``mid`` those down to nine tenths, ``tail`` the rest. No lemmas give no groups.

    Lemmas that occur equally often are of one group: ``head`` where they reach the half, ``tail`` where the last tenth
    begins among them.
    """
    total, before = sum(counts.values()), 0
    groups: dict[int, Frequency] = {}
    for count, lemmas in sorted(Counter(counts.values()).items(), reverse=True):
        last = before + count * (lemmas - 1)
        groups[count] = "head" if before < HEAD_SHARE * total else "mid" if last < MID_SHARE * total else "tail"
        before += count * lemmas
    return {lemma: groups[count] for lemma, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))}


def gather_evidence(results: Iterable[ImageResult], frequencies: Mapping[str, Frequency]) -> Evidence:
    """The evidence of all candidates of ``results``, each judged by the human boxes of its phrase; phrase by phrase.

    ``frequencies``: the group of each head lemma in lower case; a lemma that is not in it is ``unseen``.
    """
    parts, pictures = [NO_EVIDENCE], dict[str, int]()
    for result in results:
        picture = pictures.setdefault(result.gold.image_sha256, len(pictures))
        parts.append(_judged(result, picture, frequencies))
    return Evidence.of_parts(parts)


def _judged(result: ImageResult, picture: int, frequencies: Mapping[str, Frequency]) -> Evidence:
    gold = result.gold
    found = result.found[np.argsort(result.found.phrases, kind="stable")]
    own = found.phrases[:, None] == np.array([box.phrase for box in gold.boxes], dtype=np.int64)
    overlaps = iou(found.boxes_xyxy, as_boxes([box.box_xyxy for box in gold.boxes]))
    heads = [frequencies.get(phrase.head_lemma.lower(), "unseen") for phrase in gold.phrases]
    first = np.array([group_number(frequency, BOX_SIZES[0]) for frequency in heads], dtype=np.int64)
    share = areas(found.boxes_xyxy) / (gold.width * gold.height)
    right = (own & (overlaps >= MIN_IOU)).any(axis=1)
    return Evidence(found.scores, right, first[found.phrases] + size_numbers(share), np.full(len(found), picture))


def group_number(frequency: Frequency, size: BoxSize) -> int:
    """The number of a group, as :class:`Evidence` has it."""
    return FREQUENCIES.index(frequency) * len(BOX_SIZES) + BOX_SIZES.index(size)


def isotonic(scores: Floats, right: NDArray[np.bool_]) -> Curve:
    """The never-falling step function with the least squared error: pool adjacent violators. ``scores`` [N], N > 0."""
    levels, place = np.unique(scores, return_inverse=True)
    hits, counts = np.bincount(place, weights=right), np.bincount(place)
    blocks: list[tuple[float, float, float]] = []  # lowest score, right boxes, boxes
    for level, hit, count in zip(levels.tolist(), hits.tolist(), counts.tolist(), strict=True):
        block = (level, hit, count)
        while blocks and blocks[-1][1] * block[2] >= block[1] * blocks[-1][2]:
            low, earlier_hit, earlier_count = blocks.pop()
            block = (low, earlier_hit + block[1], earlier_count + block[2])
        blocks.append(block)
    starts, right_boxes, boxes = np.asarray(blocks, dtype=np.float64).T
    return Curve(starts, right_boxes / boxes)


def wilson_lower(share: float, count: float, confidence: float) -> float:
    """The lower end of Wilson's one-sided interval of a share found in ``count`` independent trials; 0 for none."""
    if count <= 0:
        return 0.0
    z = NormalDist().inv_cdf(confidence)
    centre = share + z * z / (2 * count)
    spread = z * float(np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)))
    return max(0.0, (centre - spread) / (1 + z * z / count))


# ----------------------------------------------------------------------------------------------------------- fitting


@dataclass(frozen=True, slots=True)
class FittedScores:
    """Boxes with the precision that a curve gives them, in the form that :meth:`above` needs."""

    scores: Floats
    """Of the boxes, rising."""
    precision: Floats
    """Of each box and all after it, added up."""
    best_of_pictures: Floats
    """The best score of each picture, rising."""

    @classmethod
    def of(cls, evidence: Evidence, curve: Curve) -> FittedScores:
        falling = np.argsort(-evidence.scores, kind="stable")
        scores = evidence.scores[falling]
        best = scores[np.unique(evidence.pictures[falling], return_index=True)[1]]
        return cls(scores[::-1], np.cumsum(curve(scores))[::-1], np.sort(best))

    def above(self, min_score: float) -> tuple[int, int, float]:
        """Boxes, pictures and mean precision of what scores at least ``min_score``; 0 for no box."""
        first, best = np.searchsorted(self.scores, min_score), np.searchsorted(self.best_of_pictures, min_score)
        boxes = len(self.scores) - int(first)
        mean = float(self.precision[first]) / boxes if boxes else 0.0
        return boxes, len(self.best_of_pictures) - int(best), mean


def fit_groups(evidence: Evidence, *, min_score: float, shrinkage: float, confidence: float) -> list[CalibrationGroup]:
    """The curve and the points of every group, in order, from ``min_score`` up; ValueError without a box.

    ``shrinkage``: so many pictures of all groups are added to those of each, though never more than it has itself. A
    group of unseen phrases without a box has the evidence of the rarest seen ones.
    """
    if not len(evidence):
        raise ValueError("the teacher answered no box at all on the human data: there is nothing to calibrate")
    everything = isotonic(evidence.scores, evidence.right)
    of_all = FittedScores.of(evidence, everything)
    groups = []
    for number, (frequency, size) in enumerate(product(FREQUENCIES, BOX_SIZES)):
        own, borrowed = evidence.take(evidence.groups == number), None
        if frequency == "unseen" and not (evidence.groups >= UNSEEN_FROM).any():
            own, borrowed = evidence.take(evidence.groups == number - len(BOX_SIZES)), group_name("tail", size)
        curve = isotonic(own.scores, own.right) if len(own) else everything
        pictures = len(np.unique(own.pictures))
        drawn = _blend(curve, everything, pictures / (pictures + shrinkage) if pictures else 0.0)
        fitted = FittedScores.of(own, curve)
        groups.append(
            CalibrationGroup(
                frequency=frequency,
                size=size,
                boxes=len(own),
                right=int(own.right.sum()),
                pictures=pictures,
                borrowed_from=borrowed,
                scores=np.round(drawn.scores, 6).tolist(),
                precision=np.round(drawn.precision, 6).tolist(),
                points=_points(fitted, of_all, min_score, shrinkage, confidence),
            )
        )
    return groups


def _blend(own: Curve, everything: Curve, weight: float) -> Curve:
    """``weight`` of one curve and the rest of the other, with a step only where the mean has one."""
    scores = np.union1d(own.scores, everything.scores)
    precision = weight * own(scores) + (1 - weight) * everything(scores)
    steps = np.concatenate([[True], np.diff(precision) > 1e-9])
    return Curve(scores[steps], precision[steps])


def _points(
    own: FittedScores, of_all: FittedScores, min_score: float, shrinkage: float, confidence: float
) -> list[PrecisionPoint]:
    """What each lowest score keeps, ascending, as far as a box of any group reaches."""
    points = []
    for score in np.arange(min_score, 1.0, STEP).round(4).tolist():
        boxes, pictures, precision = own.above(score)
        boxes_of_all, _, precision_of_all = of_all.above(score)
        if not boxes_of_all:
            break
        added = min(shrinkage, pictures)  # the others' evidence at most doubles a group's own: none stays none
        trials = pictures + added
        drawn = (pictures * precision + added * precision_of_all) / trials if trials else 0.0
        points.append(
            PrecisionPoint(
                min_score=score,
                boxes=boxes,
                pictures=pictures,
                precision=round(drawn, 6),
                lower_bound=round(wilson_lower(drawn, trials, confidence), 6),
            )
        )
    return points
