"""What an evaluation leaves in its folder: ``answers/``, ``index.html``, and last ``evaluation.json``, which vouches.

In: what came of each dataset. Out: the files; a page that was stopped half-way is made again, with the evaluation.
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
class Sitting:
    """One dataset of an evaluation: its report, and its worst mistakes, list by list."""

    exam: Exam
    report: EvaluationReport
    worst: Sequence[Sequence[JudgedBox]]


def write_evaluation(out: Store, recipe: EvaluateRecipe, sittings: Sequence[Sitting], beside: str | None) -> None:
    """Write the page and the document, with its digest of what figures rest on beside the answers, into the folder
    ``out``."""
    mistakes = [tuple(drawn(one.exam.store, chosen) for chosen in one.worst) for one in sittings]
    reports = [one.report for one in sittings]
    out.write(PAGE, render(reports, mistakes, recipe.teacher.checkpoint).encode())
    document = Evaluation(recipe=recipe.model_dump(mode="json"), reports=reports, beside=beside)
    with out.writing(EVALUATION) as file:
        file.write(document.model_dump_json().encode())
        file.write(b"\n")
