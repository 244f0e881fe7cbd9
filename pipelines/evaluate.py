"""Evaluation: a grounder on human-annotated datasets of the project's format.

In: an :class:`~schemas.recipes.EvaluateRecipe`. Out: one report a dataset, and ``evaluation.json``, with a page and a
table of all boxes beside it. A grounding dataset asks for the phrases of its captions, a detection dataset for all its
classes, in prompts of so many class names joined by ". ", as GLIP asks for those of LVIS; the answers are scored by
the recipe's protocols. A picture that the grounder refuses has no answer, which counts against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from engine.artifacts import Store, digest_of
from engine.metrics import Figures, ImageResult
from engine.metrics.baselines import ConstantBoxes, fit_class_boxes, fit_phrase_boxes
from engine.metrics.curves import class_curve, phrase_curve
from engine.metrics.detection import gold_counts
from engine.metrics.federated import read_frequencies
from engine.metrics.judged import judge_boxes
from engine.metrics.protocols import ScoringContext, protocols_for, score_by
from engine.metrics.results import Results
from engine.mix.labels import shared_pictures
from engine.runner import Backend
from engine.running.layout import Workers
from engine.shards import read_card
from engine.view import open_unselected
from pipelines.evaluation.answer_table import write_answers
from pipelines.evaluation.exams import Exam, open_exam, open_exams
from pipelines.evaluation.files import EVALUATION, ScoredExam, write_evaluation
from pipelines.evaluation.job import Answered, answer_exams
from pipelines.evaluation.phrase_frequency import frequency_groups_of
from pipelines.lineage.nodes import dataset_digest
from pipelines.models.checkpoints import local_teacher, pinned_teacher
from pipelines.pages.evaluation_tables import print_reports
from pipelines.pages.mistakes import worst
from schemas.recipes import EvaluateRecipe
from schemas.reports import Evaluation, EvaluationReport, MetricValue
from schemas.shards import DatasetCard
from teacher.grounder import open_grounder, quick_digest, teacher_digest


def evaluate(
    recipe: EvaluateRecipe,
    out: str | Path | None = None,
    *,
    workers: int | None = None,
    backend: Backend | None = None,
    progress: bool = True,
) -> list[EvaluationReport]:
    """Evaluate the recipe's grounder on its datasets; returns their reports in order, and writes them under ``out``.

    Where ``out`` holds the evaluation of the same model by the same recipe on the same data, that is returned and
    nothing is done; what it holds of one that was stopped, or scored otherwise, is not asked for again. ``workers`` and
    ``backend`` as in :func:`pipelines.label.label`; the recipe's where None, and if it has none, this process. They
    change no figure.

    ``progress`` shows a bar and prints the figures. ValueError where a dataset is not a whole human one, where no
    protocol scores it, or where two have the same folder name; RuntimeError where a worker fails.
    """
    exams, notes = _checked_exams(recipe)
    frequencies = read_frequencies(recipe.lvis_annotations) if recipe.lvis_annotations else None
    groups = frequency_groups_of(recipe.frequencies)
    recipe = recipe.model_copy(update={"teacher": pinned_teacher(recipe.teacher)})
    backend = backend or recipe.backend or "inline"
    model_digest = _model_digest(recipe, backend)
    auxiliary_digest = _auxiliary_digest(recipe, frequencies)
    done = _read_done(recipe, out, exams, model_digest, auxiliary_digest)
    if done is None:
        store = None if out is None else Store(out)
        contexts = [
            ScoringContext(one.card.classes, recipe.max_boxes, frequencies, groups.get(one.card.task)) for one in exams
        ]
        answered = answer_exams(
            exams,
            recipe,
            model_digest,
            store,
            backend=backend,
            workers=Workers.of_teacher(recipe.teacher, workers or recipe.workers),
            progress=progress,
        )
        scored = [
            _score(exam, answers, recipe, model_digest, context, store)
            for exam, answers, context in zip(exams, answered, contexts, strict=True)
        ]
        done = [one.report for one in scored]
        if store is not None:
            write_evaluation(store, recipe, scored, auxiliary_digest)
    if progress:
        print_reports(done)
        for note in notes:
            print(note)
    return done


def check_evaluation(recipe: EvaluateRecipe) -> None:
    """Check, before hours of work that end in this evaluation, that it can be made: ValueError where no model could."""
    _checked_exams(recipe)
    for dataset in recipe.frequencies:
        read_card(Store(dataset))
    if recipe.lvis_annotations:
        read_frequencies(recipe.lvis_annotations)


def _checked_exams(recipe: EvaluateRecipe) -> tuple[list[Exam], list[str]]:
    """The recipe's exams, and a note on each that shares pictures with the data that constant boxes are fitted on.

    ValueError where one cannot be scored, or shares all its pictures.
    """
    exams, notes = open_exams(recipe), []
    for exam in exams:
        protocols_for(exam.card.task, recipe.protocols)
        if shared := _pictures_of_baseline(recipe.baseline, exam):
            notes.append(f"{exam.name}: the constant boxes were fitted on {shared:,} of its pictures, too")
    return exams, notes


def _model_digest(recipe: EvaluateRecipe, backend: Backend) -> str:
    """The digest of the recipe's model. It is opened for that on its device only where it also answers here (inline):
    the driver of a cluster may have neither a GPU nor memory for it."""
    teacher = local_teacher(recipe.teacher)
    if quick := quick_digest(teacher):
        return quick
    return open_grounder(teacher).digest if backend == "inline" else teacher_digest(teacher)


def _auxiliary_digest(recipe: EvaluateRecipe, frequencies: Mapping[str, str] | None) -> str | None:
    """Digest of the data that figures depend on besides model and exams: of ``baseline``, ``frequencies`` and
    ``lvis_annotations``. By content, because the recipe has only their paths. None where it has none of them."""
    if not (recipe.baseline or recipe.frequencies or frequencies):
        return None
    counted = [Store(dataset) for dataset in recipe.frequencies]
    data = [[dataset_digest(store.root), open_unselected(store).digests()] for store in counted]
    return digest_of([[open_exam(one, None).fingerprint for one in recipe.baseline], data, dict(frequencies or {})])


def _read_done(
    recipe: EvaluateRecipe,
    out: str | Path | None,
    exams: Sequence[Exam],
    model_digest: str,
    auxiliary_digest: str | None,
) -> list[EvaluationReport] | None:
    if out is None or not Store(out).exists(EVALUATION):
        return None
    try:
        found = Evaluation.model_validate_json(Store(out).read(EVALUATION, max_bytes=1_000_000_000))
    except ValueError:  # of an older format, or damaged: it is made again
        return None
    wanted = [(model_digest, exam.name, exam.fingerprint) for exam in exams]
    same = [(one.model_digest, one.dataset, one.dataset_fingerprint) for one in found.reports] == wanted
    same = same and found.auxiliary_digest == auxiliary_digest
    return found.reports if same and found.recipe == recipe.model_dump(mode="json") else None


def _score(
    exam: Exam,
    answered: Answered,
    recipe: EvaluateRecipe,
    model_digest: str,
    context: ScoringContext,
    out: Store | None,
) -> ScoredExam:
    """The report of one dataset; its table of boxes is written at once, so that no dataset's boxes wait for another."""
    results = answered.results
    scored = partial(score_by, recipe.protocols, exam.card.task, context=context)
    figures = scored(results)
    classes = exam.card.classes if exam.card.task == "detection" else ()
    judged = judge_boxes(results, classes, recipe.max_boxes)
    report = EvaluationReport(
        model_digest=model_digest,
        dataset=exam.name,
        dataset_fingerprint=exam.fingerprint,
        prompts={name: one.text for name, one in exam.asked.items()},
        metrics=_with_baseline(figures, results, exam.card, recipe.baseline, scored),
        per_image=figures.per_image,
        per_image_count=figures.per_image_count,
        detections=figures.detections,
        federated=figures.federated,
        voc=figures.voc,
        curve=class_curve(judged, gold_counts(results, classes)) if classes else phrase_curve(judged),
        outcomes={str(outcome): count for outcome, count in judged.outcomes().items()},
        images=len({result.gold.image_sha256 for result in results}),
        seconds=answered.seconds,
    )
    if out is not None:
        out.delete(EVALUATION)  # of other work: it would vouch for files that are being replaced
        write_answers(out, exam.name, judged)
    return ScoredExam(exam, report, worst(judged))


# ---------------------------------------------------------------------------------------------------------- figures


def _with_baseline(
    figures: Figures,
    results: Results,
    card: DatasetCard,
    datasets: Sequence[str],
    scored: Callable[[Iterable[ImageResult]], Figures],
) -> list[MetricValue]:
    """The figures with what the best constant boxes reach beside them, where there are ``datasets`` to fit them on."""
    baseline = fit_baseline(datasets, card)
    if baseline is None:
        return figures.values
    answer = partial(baseline.detect, classes=card.classes) if card.task == "detection" else baseline.ground
    reached = {metric.name: metric.value for metric in scored(results.answered_by(answer)).values}
    return [metric.model_copy(update={"baseline": reached.get(metric.name)}) for metric in figures.values]


def fit_baseline(datasets: Sequence[str], card: DatasetCard) -> ConstantBoxes | None:
    """The best constant boxes on those of ``datasets`` that are of the card's task; None where there is none.

    ValueError where one of them holds no human boxes.
    """
    training = _baseline_exams(datasets, card)
    if not training:
        return None
    samples = chain.from_iterable(exam.labels() for exam in training)
    return fit_class_boxes(samples) if card.task == "detection" else fit_phrase_boxes(samples)


def _baseline_exams(datasets: Sequence[str], card: DatasetCard) -> list[Exam]:
    return [exam for dataset in datasets if (exam := open_exam(dataset, None)).card.task == card.task]


def _pictures_of_baseline(datasets: Sequence[str], exam: Exam) -> int:
    """How many pictures of ``exam`` are also in the data that the constant boxes are fitted on, byte for byte.

    ValueError where all are: then it is the same data, whatever format it was imported from.
    """
    training = [one.store for one in _baseline_exams(datasets, exam.card)]
    if not training:
        return 0
    pictures, shared = shared_pictures(exam.store, training)
    if 0 < shared == pictures:
        raise ValueError(
            f"the baseline would be fitted on all {pictures:,} pictures with boxes of {exam.store.root}, which is "
            "evaluated on; give training data"
        )
    return shared
