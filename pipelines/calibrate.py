"""Calibration: what a teacher's scores are worth, measured on human annotations.

In: a :class:`~schemas.recipes.CalibrateRecipe`. Out: ``calibration.json``, which the selection ``calibrated`` reads,
and beside it the reliability plot (``.svg``). The teacher is asked for the human captions' phrases as it is when it
labels; of labels that people reviewed, the verdicts are the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from rich.table import Table

from engine.artifacts import Store
from engine.calibration import MIN_IOU, fit_groups, gather_evidence
from engine.metrics import ImageResult
from engine.review.evidence import together
from engine.review.verdicts import read_verdicts
from engine.selecting.calibrated_scores import file_in_store, read_calibration
from engine.selecting.calibration_check import check_on_held_out
from engine.shards import read_card
from engine.view import View, open_unselected
from pipelines.console.number_formats import counted
from pipelines.console.progress import tracked
from pipelines.console.terminal import plain_console
from pipelines.evaluation.answers import answer_all, ask_phrases
from pipelines.evaluation.phrase_frequency import head_frequencies
from pipelines.lineage.nodes import dataset_digest
from pipelines.models.checkpoints import local_teacher, pinned_teacher
from pipelines.pages.reliability import reliability_svg
from pipelines.review.datasets import ReviewedDataset, one_teacher, open_reviewed
from schemas.calibration import Calibration, HeldOut
from schemas.recipes import CalibrateRecipe
from schemas.shards import DatasetCard
from teacher.grounder import open_grounder, teacher_digest
from teacher.worker import TeacherWorker


def calibrate(recipe: CalibrateRecipe, out: str | Path, *, progress: bool = True) -> Calibration:
    """Fit the teacher's scores on the recipe's human datasets and write the document ``out`` with its plot.

    Where ``out`` holds the calibration of the same teacher on the same data, only its target is renewed. ValueError
    where a dataset is not a whole human grounding one, a reviewed one has no verdict or is of another teacher, or
    ``out`` does not end in ``.json``.
    """
    if recipe.datasets:
        recipe = recipe.model_copy(update={"teacher": pinned_teacher(recipe.teacher)})
    store, name = _open_out(out)
    exams = [_open_human(dataset) for dataset in recipe.datasets]
    reviewed = [open_reviewed(dataset) for dataset in recipe.verdicts]
    teacher = one_teacher(reviewed, teacher_digest(local_teacher(recipe.teacher)) if exams else None)
    made_from = _made_from(recipe, reviewed)
    document = _read_done(f"{store.root}/{name}", recipe, made_from, teacher)
    if document is None:
        store.check_writable()
        document = _fit(recipe, exams, reviewed, made_from, teacher, progress)
    store.write_document(name, document)
    store.write(f"{name[:-5]}.svg", reliability_svg(document).encode())
    if progress:
        print_calibration(document, f"{store.root}/{name}")
    return document


def _made_from(recipe: CalibrateRecipe, reviewed: Sequence[ReviewedDataset]) -> dict[str, str]:
    """Digests of all data that the document rests on; human datasets may be reviewed too."""
    found = {dataset: dataset_digest(dataset) for dataset in (*recipe.datasets, *recipe.frequencies)}
    for store in map(Store, (*recipe.datasets, *_counted(recipe))):
        found |= {f"{name}:{store.root}": digest for name, digest in open_unselected(store).digests().items()}
    return found | {f"verdicts:{one.store.root}": one.digest() for one in reviewed}


def _counted(recipe: CalibrateRecipe) -> Sequence[str]:
    """The datasets in which the heads of phrases are counted."""
    return recipe.frequencies or recipe.datasets or recipe.verdicts


def _open_out(out: str | Path) -> tuple[Store, str]:
    if not str(out).endswith(".json"):
        raise ValueError(f"--out is the file of the calibration and ends in .json, not {str(out)!r}")
    return file_in_store(str(out))


def _open_human(dataset: str) -> tuple[Store, DatasetCard]:
    store = Store(dataset)
    card = read_card(store)
    if card.origin != "human" or card.task != "grounding" or not card.complete:
        found = f"{'' if card.complete else 'incomplete '}{card.origin} {card.task} dataset"
        raise ValueError(
            f"{dataset} is a {found}; scores are calibrated on a complete human one of captions with phrases, as "
            "`import coco-phrases` makes it"
        )
    return store, card


def _read_done(path: str, recipe: CalibrateRecipe, made_from: dict[str, str], teacher: str) -> Calibration | None:
    """The document ``path``, if it is of the same work, with the recipe's target; otherwise None."""
    try:
        found = read_calibration(path)[0]
    except ValueError:  # there is none, or of another version: it is made again
        return None
    fields = recipe.model_dump(mode="json")
    same = {**found.recipe, "precision": recipe.precision} == fields and found.made_from == made_from
    if not same or found.teacher_digest != teacher:
        return None
    if recipe.precision not in {check.target for check in found.held_out.targets}:
        return None
    return found.model_copy(update={"precision": recipe.precision, "recipe": fields})


def _fit(
    recipe: CalibrateRecipe,
    exams: Sequence[tuple[Store, DatasetCard]],
    reviewed: Sequence[ReviewedDataset],
    made_from: dict[str, str],
    teacher: str,
    progress: bool,
) -> Calibration:
    frequencies = head_frequencies(_counted(recipe))
    parts = [one.evidence(frequencies) for one in reviewed]
    if exams:
        parts.append(gather_evidence(_answers(recipe, exams, progress), frequencies))
    evidence = together(parts)
    fit = {"min_score": recipe.min_score, "shrinkage": recipe.shrinkage, "confidence": recipe.confidence}
    return Calibration(
        teacher_digest=teacher,
        precision=recipe.precision,
        recipe=recipe.model_dump(mode="json"),
        made_from=made_from,
        min_iou=MIN_IOU,
        frequencies=frequencies,
        groups=fit_groups(evidence, **fit),
        held_out=check_on_held_out(evidence, seed=recipe.seed, target=recipe.precision, **fit),
    )


def _answers(
    recipe: CalibrateRecipe, exams: Sequence[tuple[Store, DatasetCard]], progress: bool
) -> Iterator[ImageResult]:
    """The teacher's answers to the phrases of every human caption, cut as a labelling job cuts them."""
    grounder = open_grounder(local_teacher(recipe.teacher))
    worker = TeacherWorker(grounder, batch_size=recipe.teacher.batch_size, min_score=recipe.min_score)
    for store, card in exams:
        samples = View(verdicts=read_verdicts(store)).samples(store)
        answers = answer_all(islice(samples, recipe.limit), ask_phrases(grounder), worker)
        doing = f"calibrating on {store.name}"
        for result in tracked(answers, doing, shown=progress, total=min(card.samples, recipe.limit or card.samples)):
            yield _best_of_each_phrase(result, recipe.max_boxes_per_phrase)


def _best_of_each_phrase(result: ImageResult, most: int) -> ImageResult:
    kept, counts = [], Counter[int]()
    for candidate in sorted(result.candidates, key=lambda one: -one.score):
        counts[candidate.phrase] += 1
        if counts[candidate.phrase] <= most:
            kept.append(candidate)
    return replace(result, candidates=tuple(kept))


# --------------------------------------------------------------------------------------------------------- for a reader


def print_calibration(document: Calibration, path: str) -> None:
    """The lowest score of each group at the target, and what the held-out half says of it."""
    target = document.precision
    table = Table(title=f"Lowest score for a precision of {target:.0%}")
    for column in ("phrases", "boxes", "pictures", "boxes judged", "right", "lowest score", "precision above"):
        table.add_column(column, justify="left" if column in ("phrases", "boxes") else "right")
    for group in document.groups:
        least = group.min_score(target)
        point = next((one for one in group.points if one.min_score == least), None)
        table.add_row(
            group.frequency + (" (evidence of tail)" if group.borrowed_from else ""),
            group.size,
            f"{group.pictures:,}",
            f"{group.boxes:,}",
            f"{group.right / group.boxes:.1%}" if group.boxes else "-",
            "out of reach" if least is None else f"{least:.2f}",
            "-" if point is None else f"{point.precision:.1%}",
        )
    plain_console().print(table)
    print(f"calibration: {path}; {held_out_sentence(document.held_out, target)}")


def held_out_sentence(check: HeldOut, target: float) -> str:
    """In words, how well a fit on half of the pictures did on the other half."""
    raw, now = check.raw.error, check.calibrated.error
    errors = f"calibration error {raw:.3f} before, {now:.3f} after" if raw is not None and now is not None else "no box"
    at = next(one for one in check.targets if one.target == target)
    came = (
        "nothing kept" if at.precision is None else f"{at.kept:,} of {at.boxes:,} boxes kept, {at.precision:.1%} right"
    )
    half = f"the held-out half ({counted(check.pictures_held_out, 'picture')})"
    return f"on {half}: {errors}; at a target of {target:.0%} {came}"
