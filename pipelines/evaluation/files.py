"""The files that an evaluation leaves in its folder: ``index.html``, and last ``evaluation.json``.

In: the scored exams. Out: both files. ``evaluation.json`` vouches for the others: an evaluation that was stopped before
it was written is scored again. ``answers/`` and ``units/`` are written by ``answer_table`` and ``answered_units``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.artifacts import Store
from engine.metrics.judged_boxes import JudgedBox
from pipelines.evaluation.exams import Exam
from pipelines.pages.evaluation_page import render
from pipelines.pages.mistakes import drawn
from schemas.recipes import EvaluateRecipe
from schemas.reports import Evaluation, EvaluationReport

EVALUATION, PAGE = "evaluation.json", "index.html"


@dataclass(frozen=True)
class ScoredExam:
    """One exam with its report. ``worst``: the mistakes of highest score, then the largest human boxes missed."""

    exam: Exam
    report: EvaluationReport
    worst: Sequence[Sequence[JudgedBox]]


def write_evaluation(
    out: Store, recipe: EvaluateRecipe, scored: Sequence[ScoredExam], auxiliary_digest: str | None
) -> None:
    """Write the page and ``evaluation.json`` into the folder ``out``; ``auxiliary_digest`` as in
    :class:`~schemas.reports.Evaluation`."""
    mistakes = [tuple(drawn(one.exam.store, chosen) for chosen in one.worst) for one in scored]
    reports = [one.report for one in scored]
    out.write(PAGE, render(reports, mistakes, recipe.teacher.checkpoint).encode())
    document = Evaluation(recipe=recipe.model_dump(mode="json"), reports=reports, auxiliary_digest=auxiliary_digest)
    with out.writing(EVALUATION) as file:
        file.write(document.model_dump_json().encode())
        file.write(b"\n")
