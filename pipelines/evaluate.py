"""Evaluation: a grounder on human-annotated datasets of the project's format.

In: an :class:`~schemas.recipes.EvaluateRecipe`. Out: one report a dataset, and ``evaluation.json``, with a page and a
table of all boxes beside it. A grounding dataset asks for the phrases of its captions, a detection dataset for all its
classes, in prompts of so many class names joined by ". " (LVIS' way in GLIP, section 5.1); the answers are scored by
the recipe's protocols. A picture that the grounder refuses has no answer, which counts against it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine.artifacts import Store
from engine.baselines import ConstantBoxes, fit_class_boxes, fit_phrase_boxes
from engine.metrics import Figures, ImageResult
from engine.metrics.curves import class_curve, phrase_curve
from engine.metrics.detection import gold_counts
from engine.metrics.federated import read_frequencies
from engine.metrics.judged import judge
from engine.metrics.protocols import Beside, protocols_for, score_by
from pipelines.answers import answer_all
from pipelines.checkpoints import local_teacher, pinned_teacher
from pipelines.evaluation_files import EVALUATION, Sitting, write_evaluation
from pipelines.exams import Exam, open_exam
from pipelines.pages.evaluation_tables import print_reports
from pipelines.phrase_frequency import frequency_groups_of
from schemas.recipes import EvaluateRecipe
from schemas.reports import Evaluation, EvaluationReport, MetricValue
from schemas.shards import DatasetCard, SampleLabels
from teacher.grounder import Grounder, open_grounder
from teacher.worker import TeacherWorker


def evaluate(recipe: EvaluateRecipe, out: str | Path | None = None, *, progress: bool = True) -> list[EvaluationReport]:
    """Evaluate the recipe's grounder on its datasets; returns their reports in order, and writes them under ``out``.

    Where ``out`` holds the evaluation of the same model by the same recipe on the same data, that is returned and
    nothing is done. ``progress`` shows a bar and prints the figures. ValueError where a dataset is not a whole human
    one, where no protocol scores it, or where two have the same folder name.
    """
    exams = [open_exam(dataset, recipe.limit) for dataset in recipe.datasets]
    if len({exam.name for exam in exams}) < len(exams):
        raise ValueError(
            "two datasets to evaluate on have the same folder name; reports are told apart by it: rename one"
        )
    for exam in exams:
        protocols_for(exam.card.task, recipe.protocols)
    frequencies = read_frequencies(recipe.lvis_annotations) if recipe.lvis_annotations else None
    groups = frequency_groups_of(recipe.frequencies)
    recipe = recipe.model_copy(update={"teacher": pinned_teacher(recipe.teacher)})
    grounder = open_grounder(local_teacher(recipe.teacher))
    done = _read_done(recipe, out, exams, grounder.digest)
    if done is None:
        asides = [Beside(one.card.classes, recipe.max_boxes, frequencies, groups.get(one.card.task)) for one in exams]
        sittings = [
            _evaluate_on(exam, grounder, recipe, beside, progress) for exam, beside in zip(exams, asides, strict=True)
        ]
        done = [one.report for one in sittings]
        if out is not None:
            write_evaluation(Store(out), recipe, sittings)
    if progress:
        print_reports(done)
    return done


def _read_done(
    recipe: EvaluateRecipe, out: str | Path | None, exams: Sequence[Exam], model_digest: str
) -> list[EvaluationReport] | None:
    if out is None or not Store(out).exists(EVALUATION):
        return None
    try:
        found = Evaluation.model_validate_json(Store(out).read(EVALUATION, max_bytes=1_000_000_000))
    except ValueError:  # of an older format, or damaged: it is made again
        return None
    wanted = [(model_digest, exam.name, exam.fingerprint) for exam in exams]
    same = [(one.model_digest, one.dataset, one.dataset_fingerprint) for one in found.reports] == wanted
    return found.reports if same and found.recipe == recipe.model_dump(mode="json") else None


def _evaluate_on(
    exam: Exam,
    grounder: Grounder,
    recipe: EvaluateRecipe,
    beside: Beside,
    progress: bool,
) -> Sitting:
    started = time.monotonic()
    worker = TeacherWorker(grounder, batch_size=recipe.teacher.batch_size, min_score=max(recipe.min_score, 1e-6))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task(f"evaluate {exam.name}", total=len(exam), rate="")

        def advance(count: int) -> None:
            bar.advance(task, count)
            rate = bar.tasks[task].completed / max(time.monotonic() - started, 1e-9)
            bar.update(task, rate=f"{rate:.1f} samples/s")

        results = list(answer_all(exam.samples(), exam.card, grounder, worker, recipe.chunk_classes, advance))
    scored = partial(score_by, recipe.protocols, exam.card.task, beside=beside)
    figures = scored(results)
    classes = exam.card.classes if exam.card.task == "detection" else ()
    judged = judge(results, classes, recipe.max_boxes)
    report = EvaluationReport(
        model_digest=grounder.digest,
        dataset=exam.name,
        dataset_fingerprint=exam.fingerprint,
        metrics=_with_baseline(figures, [result.gold for result in results], exam.card, recipe.baseline, scored),
        per_image=figures.per_image,
        per_image_count=figures.per_image_count,
        detections=figures.detections,
        federated=figures.federated,
        curve=class_curve(judged, gold_counts(results, classes)) if classes else phrase_curve(judged),
        verdicts=dict(Counter(one.verdict for one in judged)),
        images=len({result.gold.image_sha256 for result in results}),
        seconds=time.monotonic() - started,
    )
    return Sitting(exam, report, judged)


# ---------------------------------------------------------------------------------------------------------- figures


def _with_baseline(
    figures: Figures,
    gold: Sequence[SampleLabels],
    card: DatasetCard,
    datasets: Sequence[str],
    scored: Callable[[Sequence[ImageResult]], Figures],
) -> list[MetricValue]:
    """The figures with what the best constant boxes reach beside them, where there are ``datasets`` to fit them on."""
    baseline = fit_baseline(datasets, card)
    if baseline is None:
        return figures.values
    answers = [
        baseline.detect(labels, card.classes) if card.task == "detection" else baseline.ground(labels)
        for labels in gold
    ]
    reached = {metric.name: metric.value for metric in scored(answers).values}
    return [metric.model_copy(update={"baseline": reached.get(metric.name)}) for metric in figures.values]


def fit_baseline(datasets: Sequence[str], card: DatasetCard) -> ConstantBoxes | None:
    """The best constant boxes on those of ``datasets`` that are of the card's task; None where there is none.

    ValueError where one of them is the dataset that is evaluated on, or holds no human boxes.
    """
    training: list[SampleLabels] = []
    for dataset in datasets:
        exam = open_exam(dataset, None)
        if exam.card.source_fingerprint == card.source_fingerprint:
            raise ValueError(f"the baseline would be fitted on {dataset}, which is evaluated on; give training data")
        if exam.card.task == card.task:
            training += [sample.labels for sample in exam.samples()]
    if not training:
        return None
    return fit_class_boxes(training) if card.task == "detection" else fit_phrase_boxes(training)
