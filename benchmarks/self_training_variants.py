"""The students that ``self_training.py`` can train: who labels the web, what is learned of it, how training differs.

All of a seed begin from its teacher and train as long as its control does. ``PLAIN`` is the student that the others are
compared with; unless a variant says otherwise it differs from that one in a single thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.recipes import SelectionChoice

TEACHER, ENSEMBLE, NOBODY = "teacher", "ensemble", "nobody"
PLAIN, CONTROL, AVERAGED_CONTROL = "best-box", "control", "averaged-control"
BEST_BOX = {"max_overlap": 0.5, "max_boxes_per_phrase": 1}  # the best box of overlapping ones, and of a phrase
PLAIN_SELECTION: dict[str, Any] = {"min_score": 0.2, **BEST_BOX}  # chosen on another seed


@dataclass(frozen=True)
class Variant:
    """A student."""

    selection: SelectionChoice = field(default_factory=lambda: PLAIN_SELECTION)
    """The selection of the labels to learn from; the preset ``calibrated`` gets the file of the seed's teacher."""
    labelled_by: str = TEACHER
    """``teacher``; ``ensemble``, the teacher and another one with the same human data and another training seed; the
    name of a variant, whose student labels the web again; or ``nobody``: a control that is trained like the variant."""
    share: float = 0.5
    """The share of pseudo-labelled pictures among those seen in training; in (0, 1)."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the training recipe that differ from the control's; also ``lr`` and ``text_lr_factor``."""
    averaged: str | None = None
    """A variant, or ``control``: the student is halfway between its model and the teacher; no training is done."""


_WORDS_ALONE = {"tune": "prompt", "lr": 2e-2, "text_lr_factor": 1.0}  # only a vector for each word is trained
_ALONE = {"caption_negatives": 0}  # captions are not packed, so that words have no negatives

VARIANTS: dict[str, Variant] = {
    PLAIN: Variant(),
    "glip": Variant("glip"),  # score above 0.5 and nothing else, as in the paper
    "threshold-0.3": Variant({"min_score": 0.3}),
    "threshold-0.7": Variant({"min_score": 0.7}),
    "best-box-0.1": Variant({"min_score": 0.1, **BEST_BOX}),
    "best-box-0.4": Variant({"min_score": 0.4, **BEST_BOX}),
    "calibrated": Variant({"preset": "calibrated", "precision": 0.5, **BEST_BOX}),
    "score-weighted": Variant(train={"score_weighted": True}),
    "no-box-regression": Variant(train={"pseudo_regression": False}),
    "ignore-ungrounded": Variant(train={"ignore_ungrounded": True}),
    "alone-captions": Variant(train=_ALONE),
    "alone-captions-control": Variant(labelled_by=NOBODY, train=_ALONE),
    "eight-captions": Variant(train={"caption_negatives": 8}),
    "rare-repeated": Variant(train={"sampling": {"repeat_threshold": 0.1}}),
    "share-0.25": Variant(share=0.25),
    "share-0.75": Variant(share=0.75),
    "ensemble": Variant(labelled_by=ENSEMBLE),
    "ensemble-agreed": Variant({**PLAIN_SELECTION, "min_agreement": 0.5}, labelled_by=ENSEMBLE),
    "second-round": Variant(labelled_by=PLAIN),
    "averaged": Variant(averaged=PLAIN),
    AVERAGED_CONTROL: Variant(labelled_by=NOBODY, averaged=CONTROL),
    "second-round-averaged": Variant(labelled_by=PLAIN, averaged="second-round"),
    "averaged-round": Variant(labelled_by="averaged"),
    "averaged-round-averaged": Variant(labelled_by="averaged", averaged="averaged-round"),
    "words-alone": Variant(train=_WORDS_ALONE),
    "words-alone-control": Variant(labelled_by=NOBODY, train=_WORDS_ALONE),
}


def student(variant: str) -> str:
    """The name of the cell of a variant."""
    return f"student {variant}"


def is_calibrated(variant: Variant) -> bool:
    """Whether its selection needs the file of a calibration."""
    return isinstance(variant.selection, dict) and variant.selection.get("preset") == "calibrated"
