"""What stands out in a dataset, and what to do about it: the few sentences that a reader of its report looks for first.

In: a dataset's report. Out: findings, those that ask for something first. Each is one rule here, with the bound from
which it speaks; a dataset of which nothing is to be said gives none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.statistics.review import CONFIDENCE, FAIR_SAMPLE
from pipelines.console.number_formats import counted, figure, whole
from schemas.dataset_report import DatasetReport
from schemas.reports import StageCounts

DROPPED_SHARE = 0.05  # of the source pairs, or of the annotations that an import reads
UNSELECTED_SHARE = 0.2  # of the labelled images, left without a box by the selection
BOXES_A_PHRASE = 4.0
JUDGED_PRECISION = 0.8  # of the boxes that reviewers judged
REPEATED_SHARE = 0.01
ONE_HEAD_SHARE = 0.25
ONE_HEAD_FACTOR = 2.0  # of its share, against an even one: of three classes each has about a third
FOREIGN_SHARE = 0.1
SMALL_SHARE = 0.5
SLOW_FACTOR = 3.0  # the slowest unit's seconds a row, against the mean
READER_STAGES = ("selection", "dedupe")  # what readers leave out of what is stored
ANNOTATIONS = "annotation"  # the stage of an import that counts these, and no pairs
MAX_EXAMPLE = 200


@dataclass(frozen=True)
class Finding:
    """One sentence of "What stands out". ``advice``: what to do. ``chapter``: where the report has more. ``act``:
    whether something should be done. ``example``: text from the data."""

    text: str
    advice: str
    chapter: str
    act: bool = True
    example: str = ""


def findings(report: DatasetReport) -> list[Finding]:
    """All findings: first those that ask for something, then those that are good to know."""
    found = [finding for rule in RULES if (finding := rule(report)) is not None]
    return sorted(found, key=lambda one: not one.act)


def _dropped(report: DatasetReport) -> Finding | None:
    """The source pairs that are not stored, and the reason that cost most of them."""
    stages = [one for one in report.stages if one.stage not in (*READER_STAGES, ANNOTATIONS)]
    return _lost(report, stages, _number(report, "source_pairs") or 0, "source pairs")


def _dropped_boxes(report: DatasetReport) -> Finding | None:
    """The annotations that an import could not take."""
    stages = [one for one in report.stages if one.stage == ANNOTATIONS]
    return _lost(report, stages, sum(one.came_in for one in stages), "annotations")


def _lost(report: DatasetReport, stages: Sequence[StageCounts], everything: float, what: str) -> Finding | None:
    lost = [(count, reason, stage.stage) for stage in stages for reason, count in stage.dropped.items()]
    total = sum(count for count, _, _ in lost)
    if not lost or total < DROPPED_SHARE * everything:
        return None
    count, reason, stage = max(lost)
    most = "all" if count == total else whole(count)
    examples = [one.example for one in report.rejects if (one.stage, one.reason) == (stage, reason)]
    example = " ".join("".join(examples).split())
    return Finding(
        f"Dropped: {_of(total, everything)} {what}, {most} at the stage {stage}: {reason.replace('_', ' ')}.",
        "The funnel shows an example of each reason; `rejects/*.parquet` lists every reject with its message.",
        "funnel",
        example=example if len(example) <= MAX_EXAMPLE else f"{example[:MAX_EXAMPLE]}…",
    )


def _unselected(report: DatasetReport) -> Finding | None:
    selected = next((stage for stage in report.stages if stage.stage == "selection"), None)
    lost = selected.came_in - selected.went_on if selected is not None else 0
    if selected is None or lost < max(1, UNSELECTED_SHARE * selected.came_in):
        return None
    return Finding(
        f"The selection {report.selection} leaves no box in {_of(lost, selected.came_in)} stored images.",
        "A lower threshold brings them back without labelling again: `--selection '{min_score: 0.3}'`.",
        "funnel",
    )


def _many_boxes(report: DatasetReport) -> Finding | None:
    each = _number(report, "boxes_per_phrase")
    if report.origin != "pseudo" or not each or each < BOXES_A_PHRASE:
        return None
    return Finding(
        f"A phrase has {figure(each)} boxes on average, but most phrases name one thing or a few.",
        "A stricter selection is likely to be more precise: `--selection glip`, or `max_boxes_per_phrase` in it.",
        "boxes",
    )


def _uncalibrated(report: DatasetReport) -> Finding | None:
    if report.origin != "pseudo" or report.calibration is not None or not _number(report, "boxes"):
        return None
    return Finding(
        "Scores are the teacher's own; they do not say how many boxes are right.",
        "`glip-engine calibrate` measures that, from human boxes or from verdicts given in `glip-engine serve`.",
        "boxes",
        act=False,
    )


def _reviewed(report: DatasetReport) -> Finding | None:
    """What people found; it asks for something where even the upper end of the interval is low."""
    names = ("judged_boxes", "judged_precision", "judged_precision_low", "judged_precision_high")
    judged, precision, low, high = (_number(report, name) for name in names)
    if not judged or precision is None or low is None or high is None:
        return None
    act = report.origin == "pseudo" and high < JUDGED_PRECISION
    higher = "A higher `min_score` is likely to leave out wrong boxes; `glip-engine calibrate --verdicts` measures it."
    return Finding(
        f"Reviewers find {_of(round(precision * judged), judged)} judged boxes right; "
        f"the {100 * CONFIDENCE:.0f} % interval is {100 * low:.0f} to {100 * high:.0f} %.",
        f"{higher} {FAIR_SAMPLE}" if act else FAIR_SAMPLE,
        "review",
        act=act,
    )


def _repeated(report: DatasetReport) -> Finding | None:
    images, repeated = _number(report, "images"), _number(report, "repeated_images")
    if report.origin != "pseudo" or not images or not repeated or repeated < REPEATED_SHARE * images:
        return None
    return Finding(
        f"Repeated files: {_of(repeated, images)} images with a box have the file of an earlier one.",
        "`glip-engine dedupe` finds them and near copies; readers then leave them out.",
        "duplicates",
    )


def _one_head(report: DatasetReport) -> Finding | None:
    boxes, heads = _number(report, "boxes"), report.head_lemmas
    if not boxes or not heads:
        return None
    first = max(heads, key=lambda one: one.boxes)
    if first.boxes < max(ONE_HEAD_SHARE, ONE_HEAD_FACTOR / len(heads)) * boxes:
        return None
    return Finding(
        f"One head noun, “{first.head_lemma}”, has {_of(first.boxes, boxes)} boxes.",
        "`sampling.repeat_threshold` in a training recipe shows rare phrases more often.",
        "phrases",
        act=False,
    )


def _foreign(report: DatasetReport) -> Finding | None:
    sample = report.captions
    if sample is None or report.origin != "pseudo" or not sample.languages:
        return None
    known = sum(one.captions for one in sample.languages)
    foreign = known - sum(one.captions for one in sample.languages if one.language == "en")
    if foreign < max(2, FOREIGN_SHARE * known):
        return None
    return Finding(
        f"Probably not English: {_of(foreign, known)} sampled captions.",
        "The shipped caption parser reads English; `filters: {languages: [en]}` in a recipe leaves the others out.",
        "images",
    )


def _small(report: DatasetReport) -> Finding | None:
    share = _number(report, "small_boxes_share")
    if not share or share < SMALL_SHARE:
        return None
    return Finding(
        f"{100 * share:.0f} % of the boxes are small, below 32 × 32 pixels.",
        "If these matter, label and train at a larger size: `min_sizes`, `max_size`.",
        "boxes",
        act=False,
    )


def _slow(report: DatasetReport) -> Finding | None:
    rows, seconds = _number(report, "source_pairs"), _number(report, "work_seconds")
    slowest = max(report.slowest_units, key=lambda one: one.seconds_per_row or 0, default=None)
    if not rows or not seconds or slowest is None or report.units < 3:
        return None
    factor = (slowest.seconds_per_row or 0) * rows / seconds
    if factor < SLOW_FACTOR:
        return None
    return Finding(
        f"Unit {slowest.unit} took {factor:.1f} times as long per row as the mean.",
        f"Look at its worker ({slowest.worker or 'not recorded'}) and at its pictures.",
        "cost",
        act=False,
    )


def _new_concepts(report: DatasetReport) -> Finding | None:
    found = report.novelty
    if found is None or not found.new_share:
        return None
    return Finding(
        f"In no human dataset: {counted(found.new_phrases, 'unique phrase')} ({100 * found.new_share:.0f} %).",
        "These are what pseudo-labels add; judge some of them in `glip-engine serve`.",
        "phrases",
        act=False,
    )


RULES: tuple[Callable[[DatasetReport], Finding | None], ...] = (
    *(_dropped, _dropped_boxes, _unselected, _reviewed, _many_boxes, _repeated, _foreign),
    *(_new_concepts, _one_head, _small, _slow, _uncalibrated),
)


def _number(report: DatasetReport, name: str) -> float | None:
    return next((one.value for one in report.numbers if one.name == name), None)


def _of(part: float, everything: float) -> str:
    share = 100 * part / everything
    return f"{whole(part)} of {whole(everything)} ({share:.0f} %)"
