"""Pseudo-labels against hidden human boxes: precision and recall, at presets and by score.

In: labelled samples and a :class:`~engine.metrics.truth.Truth`. Out: figures. A pseudo box is *right* when it overlaps
a human box that its phrase may refer to by IoU >= 0.5, *wrong* when it overlaps none of them, and *not judged* when
nobody can say what its phrase refers to, or when more than half of it lies in a crowd region of its class. Several
boxes on one human box are all right: duplicates are for the selection's NMS to remove, they mislead no student.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from engine.metrics.overlap import as_boxes, iou, share_inside
from engine.metrics.truth import IN_CROWD, HumanBoxes, Truth
from schemas.records import BoxXYXY
from schemas.reports import PseudoLabelFigures
from schemas.shards import SampleBox, SampleLabels

MIN_IOU = 0.5
MAX_CROWD_SHARE = 0.5

Select = Callable[[SampleLabels], SampleLabels]


class JudgedSample:
    """A sample with every candidate, whose boxes are judged once, however many selections keep them."""

    def __init__(self, labels: SampleLabels, truth: Truth) -> None:
        self.askable = askable_phrases(labels, truth)
        self._truth = truth
        self._judged: dict[tuple[int, int, BoxXYXY], set[int] | str] = {}

    def judge(self, selected: SampleLabels, box: SampleBox) -> set[int] | str:
        """:func:`judge_pseudo_box` of a box in the sample as a selection has left it."""
        phrase = selected.phrases[box.phrase]
        place = phrase.start, phrase.end, box.box_xyxy
        if place not in self._judged:
            self._judged[place] = judge_pseudo_box(selected, box, self._truth)
        return self._judged[place]


@dataclass
class PseudoLabelTally:
    """The counts of one selection over the samples counted so far."""

    selection: str
    right: int = 0
    wrong: int = 0
    not_judged: Counter[str] = field(default_factory=Counter)
    phrases: int = 0
    phrases_found: int = 0
    human_boxes: int = 0
    human_boxes_found: int = 0

    def count(self, sample: JudgedSample, selected: SampleLabels) -> None:
        """Count one sample, of which the selection keeps what is ``selected`` (where it keeps none, what could have
        been found is missed)."""
        self.phrases += len(sample.askable)
        self.human_boxes += len({identity for human in sample.askable.values() for identity in human.ids})
        found_phrases: set[tuple[int, int]] = set()
        found_boxes: set[int] = set()
        for box in selected.boxes:
            phrase = selected.phrases[box.phrase]
            covered = sample.judge(selected, box)
            if isinstance(covered, str):
                self.not_judged[covered] += 1
            elif covered:
                self.right += 1
                found_phrases.add((phrase.start, phrase.end))
                found_boxes |= covered
            else:
                self.wrong += 1
        self.phrases_found += len(found_phrases)
        self.human_boxes_found += len(found_boxes)

    def figures(self) -> PseudoLabelFigures:
        """The figures over the samples counted so far."""
        judged = self.right + self.wrong
        return PseudoLabelFigures(
            selection=self.selection,
            boxes=judged + self.not_judged.total(),
            right=self.right,
            wrong=self.wrong,
            not_judged=dict(sorted(self.not_judged.items())),
            precision=self.right / judged if judged else None,
            phrases=self.phrases,
            phrases_found=self.phrases_found,
            phrase_recall=self.phrases_found / self.phrases if self.phrases else None,
            human_boxes=self.human_boxes,
            human_boxes_found=self.human_boxes_found,
            box_recall=self.human_boxes_found / self.human_boxes if self.human_boxes else None,
        )


def askable_phrases(labels: SampleLabels, truth: Truth) -> dict[int, HumanBoxes]:
    """The phrases of a sample that may refer to a human box, with those boxes."""
    answers = {number: truth.referents(labels, number) for number in range(len(labels.phrases))}
    return {number: answer for number, answer in answers.items() if isinstance(answer, HumanBoxes)}


def judge_pseudo_box(labels: SampleLabels, box: SampleBox, truth: Truth) -> set[int] | str:
    """The human boxes that a pseudo box rightly covers (none: it is wrong), or the reason why it cannot be judged."""
    human = truth.referents(labels, box.phrase)
    if isinstance(human, str):
        return human
    own = as_boxes([box.box_xyxy])
    covered = iou(own, human.boxes_xyxy)[0] >= MIN_IOU
    if covered.any():
        return {human.ids[number] for number in np.flatnonzero(covered)}
    if share_inside(own, human.crowds_xyxy).max(initial=0.0) > MAX_CROWD_SHARE:
        return IN_CROWD
    return set()


def pseudo_label_figures(
    samples: Iterable[SampleLabels], truth: Truth, selections: dict[str, Select]
) -> list[PseudoLabelFigures]:
    """Figures of each selection over the samples that have truth, in one pass."""
    tallies = {name: PseudoLabelTally(name) for name in selections}
    keys = truth.keys()
    for labels in samples:
        if labels.key in keys:
            sample = JudgedSample(labels, truth)
            for name, select in selections.items():
                tallies[name].count(sample, select(labels))
    return [tally.figures() for tally in tallies.values()]


def above_score(min_score: float) -> Select:
    """A selection that keeps the boxes with a score of at least ``min_score``."""
    return lambda labels: labels.model_copy(update={"boxes": [box for box in labels.boxes if box.score >= min_score]})
