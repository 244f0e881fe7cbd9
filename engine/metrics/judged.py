"""Every box of an answer with what became of it: right, or which kind of mistake, and the human boxes nothing found.

In: a result, the names its candidates number. Out: a :class:`JudgedBox` for each candidate and for each human box that
was missed. A box is right at IoU 0.5 with a human box of its own name. Kinds of mistake as Hoiem et al. 2012
("Diagnosing Error in Object Detectors", section 2) tell them apart:

    localisation  IoU with a human box of its own name is in [0.1, 0.5)
    other_name    it lies (IoU 0.5) on a human box of another name
    background    neither of the two
    duplicate     detection alone: the human box was found by a box of higher score
    missed        a human box, or in grounding a phrase, that no candidate found

A detection of a human box that is *difficult* (Pascal VOC) is not judged, and such a box is never missed: as in COCO AP
(``engine.metrics.detection``), once for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.metrics import ImageResult
from engine.metrics.overlap import Boxes, as_boxes, iou
from schemas.records import BoxXYXY

MIN_IOU, NEAR_IOU = 0.5, 0.1
Verdict = Literal["right", "localisation", "other_name", "background", "duplicate", "missed"]
MISTAKES: tuple[Verdict, ...] = ("localisation", "other_name", "background", "duplicate", "missed")


@dataclass(frozen=True, slots=True)
class JudgedBox:
    """A box, xyxy pixels of the original image. ``number``: of its name, the phrase of the sample or the class of the
    dataset; ``rank``: among the candidates of that name in the image, from 1, and 0 for a human box that was missed;
    ``overlap``: the best IoU with a human box of its name."""

    key: str
    number: int
    name: str
    rank: int
    score: float
    box_xyxy: BoxXYXY
    overlap: float
    verdict: Verdict


def judge(results: Sequence[ImageResult], classes: Sequence[str], max_boxes: int) -> list[JudgedBox]:
    """All boxes of ``results``: of detection where there are ``classes``, the best ``max_boxes`` of an image as COCO AP
    takes them, else of grounding."""
    if not classes:
        return [one for result in results for one in judge_grounding(result)]
    judged: list[JudgedBox] = []
    for result in results:
        best = sorted(result.candidates, key=lambda candidate: -candidate.score)[:max_boxes]
        judged += judge_detection(ImageResult(result.gold, tuple(best)), classes)
    return judged


def judge_grounding(result: ImageResult) -> list[JudgedBox]:
    """The candidates of the phrases that have a human box, by the any-box protocol; phrases in order, best first.

    A phrase none of whose candidates is right has its first human box as ``missed`` after them.
    """
    gold = as_boxes([box.box_xyxy for box in result.gold.boxes])
    of_gold = np.array([box.phrase for box in result.gold.boxes], dtype=int)
    judged: list[JudgedBox] = []
    for number in dict.fromkeys(sorted(of_gold.tolist())):
        name, own = result.gold.phrases[number].text, of_gold == number
        found = list(_candidates(result, number, name, gold, own))
        judged += found
        if not any(one.verdict == "right" for one in found):
            judged.append(_missed(result, number, name, int(np.flatnonzero(own)[0]), found))
    return judged


def judge_detection(result: ImageResult, classes: Sequence[str]) -> list[JudgedBox]:
    """The candidates by class, best first; a human box is found once, by the best box that overlaps it most."""
    names = [result.gold.phrases[box.phrase].text for box in result.gold.boxes]
    gold = as_boxes([box.box_xyxy for box in result.gold.boxes])
    hard = np.array([bool(box.difficult) for box in result.gold.boxes], dtype=bool)
    judged: list[JudgedBox] = []
    asked = {candidate.phrase for candidate in result.candidates} | {classes.index(name) for name in names}
    for number in sorted(asked):
        own = np.array([name == classes[number] for name in names], dtype=bool)
        found = list(_candidates(result, number, classes[number], gold, own, hard))
        judged += found
        wanted = own & ~hard
        missed = wanted & ~_taken(found, gold, wanted)
        judged += [_missed(result, number, classes[number], row, found) for row in np.flatnonzero(missed).tolist()]
    return judged


def _candidates(
    result: ImageResult,
    number: int,
    name: str,
    gold: Boxes,
    own: NDArray[np.bool_],
    hard: NDArray[np.bool_] | None = None,
) -> Iterator[JudgedBox]:
    """Each candidate of a name against the human boxes, of which ``own`` are of that name. ``hard``, in detection
    alone, are those that are difficult: there a human box is found once, and what takes a hard one is left out."""
    ranked = sorted((one for one in result.candidates if one.phrase == number), key=lambda one: -one.score)
    overlaps = iou(as_boxes([one.box_xyxy for one in ranked]), gold)
    free, spare = (own.copy(), np.zeros_like(own)) if hard is None else (own & ~hard, own & hard)
    for rank, (candidate, row) in enumerate(zip(ranked, overlaps, strict=True), start=1):
        verdict = _verdict(row, own, free)
        taken = free if verdict == "right" else spare
        if hard is not None and row[taken].max(initial=0.0) >= MIN_IOU:
            taken[np.argmax(np.where(taken, row, -1.0))] = False
            if taken is spare:
                continue
        best = float(row[own].max(initial=0.0))
        yield JudgedBox(
            result.gold.key, number, name, rank, candidate.score, candidate.box_xyxy, round(best, 4), verdict
        )


def _verdict(overlaps: NDArray[np.float64], own: NDArray[np.bool_], free: NDArray[np.bool_]) -> Verdict:
    if overlaps[free].max(initial=0.0) >= MIN_IOU:
        return "right"
    if overlaps[own].max(initial=0.0) >= MIN_IOU:
        return "duplicate"
    if overlaps[~own].max(initial=0.0) >= MIN_IOU:
        return "other_name"
    return "localisation" if overlaps[own].max(initial=0.0) >= NEAR_IOU else "background"


def _taken(found: Sequence[JudgedBox], gold: Boxes, own: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which human boxes the right ones among ``found`` have found, in the order in which they were given away."""
    taken = np.zeros(len(gold), dtype=bool)
    for one in found:
        if one.verdict == "right":
            row = iou(as_boxes([one.box_xyxy]), gold)[0]
            taken[np.argmax(np.where(own & ~taken, row, -1.0))] = True
    return taken


def _missed(result: ImageResult, number: int, name: str, row: int, found: Sequence[JudgedBox]) -> JudgedBox:
    box = result.gold.boxes[row].box_xyxy
    overlaps = iou(as_boxes([one.box_xyxy for one in found]), as_boxes([box]))
    return JudgedBox(result.gold.key, number, name, 0, 0.0, box, round(float(overlaps.max(initial=0.0)), 4), "missed")
