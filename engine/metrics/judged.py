"""Every box of an answer with what became of it: right, or which kind of mistake, and the human boxes nothing found.

In: results, the names their candidates number. Out: a ``JudgedBox`` (``judged_boxes.py``) for each candidate and for
each human box that was missed. A box is right at IoU 0.5 with a human box of its own name. The kinds of mistake are
those of Hoiem et al. 2012 ("Diagnosing Error in Object Detectors", section 2):

    localisation  IoU with a human box of its own name is in [0.1, 0.5)
    other_name    it lies (IoU 0.5) on a human box of another name
    background    neither of the two
    duplicate     detection alone: the human box was found by a box of higher score
    missed        a human box, or in grounding a phrase, that no candidate found

A detection of a human box that is *difficult* (Pascal VOC) is not judged, and such a box is never missed: as in COCO AP
(``engine.metrics.detection``), once for each of them. Nor is one judged that is not right and lies in a crowd of its
class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from engine.metrics import ImageResult
from engine.metrics.candidates import Candidates
from engine.metrics.judged_boxes import (
    BACKGROUND,
    DUPLICATE,
    LOCALISATION,
    MISSED,
    OTHER_NAME,
    RIGHT,
    JudgedBoxes,
    JudgedPart,
)
from engine.metrics.overlap import Boxes, as_boxes, iou, share_inside

MIN_IOU, NEAR_IOU = 0.5, 0.1
PICTURES_A_PART = 256

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def judge_boxes(results: Iterable[ImageResult], classes: Sequence[str], max_boxes: int) -> JudgedBoxes:
    """All boxes of ``results``, picture by picture; of a name the best first, then what was missed.

    With ``classes`` they are of detection: the best ``max_boxes`` candidates of an image, as COCO AP takes them, and a
    human box is found once, by the best box that overlaps it most. Otherwise of grounding, by the any-box protocol:
    candidates of phrases that have a human box; where none of a phrase's is right, its first human box is ``missed``.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    if classes:
        pictures = (_Picture.of_classes(result, numbers, max_boxes) for result in results)
    else:
        pictures = (_Picture.of_phrases(result) for result in results)
    return JudgedBoxes(_parts(pictures, classes))


@dataclass(frozen=True, slots=True)
class _Picture:
    """A result as arrays: candidates by name and falling score, and which of them lie in a crowd of their class; human
    boxes, the number of the name of each, and which of them are difficult. ``once``: a human box is found once."""

    result: ImageResult
    found: Candidates
    in_crowd: Flags
    human: Boxes
    of_human: Ints
    difficult: Flags
    once: bool

    @classmethod
    def of_phrases(cls, result: ImageResult) -> _Picture:
        """The arrays of a grounding result, without the candidates of phrases that have no human box."""
        boxes = result.gold.boxes
        of_human = np.array([box.phrase for box in boxes], dtype=np.int64)
        found = _ranked(result.found[np.isin(result.found.phrases, of_human)])
        none = np.zeros(len(found), dtype=np.bool_)
        return cls(result, found, none, as_boxes([b.box_xyxy for b in boxes]), of_human, of_human < 0, once=False)

    @classmethod
    def of_classes(cls, result: ImageResult, numbers: Mapping[str, int], max_boxes: int) -> _Picture:
        """The arrays of a detection result, with its best ``max_boxes`` candidates."""
        boxes, phrases = result.gold.boxes, result.gold.phrases
        of_human = np.array([numbers[phrases[box.phrase].text] for box in boxes], dtype=np.int64)
        difficult = np.array([bool(box.difficult) for box in boxes], dtype=np.bool_)
        found = _ranked(result.found.best_first(max_boxes))
        crowds = [one for one in result.gold.crowds or () if one.name in numbers]
        inside = share_inside(found.boxes_xyxy, as_boxes([one.box_xyxy for one in crowds])) >= MIN_IOU
        own = found.phrases[:, None] == np.array([numbers[one.name] for one in crowds], dtype=np.int64)
        in_crowd = (inside & own).any(axis=1)
        return cls(result, found, in_crowd, as_boxes([b.box_xyxy for b in boxes]), of_human, difficult, once=True)


def _ranked(found: Candidates) -> Candidates:
    return found[np.lexsort((-found.scores, found.phrases))]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The judged rows of one picture: one for each candidate, and one for each human box that was missed."""

    number: Ints
    rank: Ints
    score: NDArray[np.float64]
    boxes_xyxy: Boxes
    overlap: NDArray[np.float64]
    outcome: Ints


def _parts(pictures: Iterator[_Picture], classes: Sequence[str]) -> Iterator[JudgedPart]:
    while some := list(islice(pictures, PICTURES_A_PART)):
        rows = [_judged(picture) for picture in some]
        number = np.concatenate([one.number for one in rows]).astype(np.int32)
        sample = np.repeat(np.arange(len(some), dtype=np.int32), [len(one.number) for one in rows])
        names, name = (classes, number) if classes else _phrase_names(some, sample, number)
        yield JudgedPart(
            [one.result.gold.key for one in some],
            names,
            sample,
            number,
            name,
            np.concatenate([one.rank for one in rows]).astype(np.int32),
            np.concatenate([one.score for one in rows]),
            np.concatenate([one.boxes_xyxy for one in rows]),
            # As Python rounds: numpy gives another last digit at times.
            np.array([round(each, 4) for one in rows for each in one.overlap.tolist()], dtype=np.float32),
            np.concatenate([one.outcome for one in rows]).astype(np.int8),
        )


def _phrase_names(
    pictures: Sequence[_Picture], sample: NDArray[np.int32], number: NDArray[np.int32]
) -> tuple[list[str], NDArray[np.int32]]:
    """The texts of all phrases, and the place among them of phrase ``number`` of each ``sample``."""
    phrases = [picture.result.gold.phrases for picture in pictures]
    starts = np.cumsum([0, *map(len, phrases)], dtype=np.int32)
    return [phrase.text for of_picture in phrases for phrase in of_picture], starts[sample] + number


def _judged(picture: _Picture) -> _Rows:
    found, human = picture.found, picture.human
    overlaps = iou(found.boxes_xyxy, human)
    own = found.phrases[:, None] == picture.of_human[None]
    with_own = np.where(own, overlaps, 0.0)
    nearest = with_own.max(axis=1, initial=0.0)
    on_other = np.where(own, 0.0, overlaps).max(axis=1, initial=0.0) >= MIN_IOU
    mistake = np.where(nearest >= NEAR_IOU, LOCALISATION, BACKGROUND)
    mistake = np.where(on_other, OTHER_NAME, mistake)
    outcome = np.where(nearest >= MIN_IOU, DUPLICATE if picture.once else RIGHT, mistake)
    kept = np.ones(len(found), dtype=np.bool_)
    missed = _find_once(picture, with_own, outcome, kept) if picture.once else _unanswered(picture, outcome)
    rank = np.arange(1, len(found) + 1) - np.searchsorted(found.phrases, found.phrases)
    number = np.concatenate([found.phrases[kept], picture.of_human[missed]])
    order = np.argsort(number, kind="stable")
    none = np.zeros(len(missed))
    return _Rows(
        number[order],
        np.concatenate([rank[kept], none.astype(np.int64)])[order],
        np.concatenate([found.scores[kept], none])[order],
        np.concatenate([found.boxes_xyxy[kept], human[missed]])[order],
        np.concatenate([nearest[kept], with_own[kept][:, missed].max(axis=0, initial=0.0)])[order],
        np.concatenate([outcome[kept], np.full(len(missed), MISSED)])[order],
    )


def _find_once(picture: _Picture, with_own: NDArray[np.float64], outcome: Ints, kept: Flags) -> Ints:
    """Give each human box to the best candidate that overlaps it: ``outcome`` is then right, and one that gets a
    difficult box, or none and lies in a crowd, is not ``kept``. Returns the human boxes that were missed."""
    free = np.ones(len(picture.human), dtype=np.bool_)
    for row in np.flatnonzero(outcome == DUPLICATE).tolist():
        for box_kind in (~picture.difficult, picture.difficult):
            overlaps = np.where(free & box_kind, with_own[row], 0.0)
            best = int(overlaps.argmax())
            if overlaps[best] >= MIN_IOU:
                free[best] = False
                if picture.difficult[best]:
                    kept[row] = False
                else:
                    outcome[row] = RIGHT
                break
    kept &= ~picture.in_crowd | (outcome == RIGHT)
    return np.flatnonzero(free & ~picture.difficult)


def _unanswered(picture: _Picture, outcome: Ints) -> Ints:
    """The first human box of each phrase none of whose candidates is right."""
    numbers, first = np.unique(picture.of_human, return_index=True)
    answered = np.isin(numbers, picture.found.phrases[outcome == RIGHT])
    unanswered: Ints = first[~answered]
    return unanswered
