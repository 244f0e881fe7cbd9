"""What an evaluation leaves in its folder: ``answers/``, ``index.html``, and last ``evaluation.json``, which vouches.

In: what came of each dataset. Out: the files; a page that was stopped half-way is made again, with the evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.artifacts import Store
from engine.metrics.judged import JudgedBox
from pipelines.evaluation.answer_table import write_answers
from pipelines.evaluation.exams import Exam
from pipelines.pages.evaluation_page import render
from pipelines.pages.mistakes import drawn, worst
from schemas.recipes import EvaluateRecipe
from schemas.reports import Evaluation, EvaluationReport

EVALUATION, PAGE = "evaluation.json", "index.html"


@dataclass(frozen=True)
class Sitting:
    """One dataset of an evaluation: its report, and every box with what became of it."""

    exam: Exam
    report: EvaluationReport
    judged: Sequence[JudgedBox]


def write_evaluation(out: Store, recipe: EvaluateRecipe, sittings: Sequence[Sitting]) -> None:
    """Write the tables, the page and the document into the folder ``out``."""
    mistakes = []
    for one in sittings:
        write_answers(out, one.exam.name, one.judged)
        mistakes.append(tuple(drawn(one.exam.store, chosen) for chosen in worst(one.judged)))
    reports = [one.report for one in sittings]
    out.write(PAGE, render(reports, mistakes, recipe.teacher.checkpoint).encode())
    document = Evaluation(recipe=recipe.model_dump(mode="json"), reports=reports)
    out.write(EVALUATION, (document.model_dump_json() + "\n").encode())
