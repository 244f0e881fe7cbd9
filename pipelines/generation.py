"""THE SPINE: one generation of self-training, in the order it happens.

    label > mix > train > evaluate > decide > report

In: a recipe. Out: a folder with all of it; ``lineage.json`` names for each artefact the digests that it was made from.
Finished steps are not repeated, so a generation that was stopped resumes when it is run again.
``pipelines/generations.py`` runs several in a row, each taught by the student of the one before.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from engine.artifacts import Store
from engine.promotion import decide
from engine.runner import Backend
from pipelines.evaluate import evaluate
from pipelines.generation_plan import GenerationPlan, plan_generation
from pipelines.label import label
from pipelines.lineage import trace
from pipelines.models.candidates import DECISION
from pipelines.models.local_folders import local_folder
from pipelines.registry import promote
from pipelines.report import report
from pipelines.train import train
from schemas.recipes import GenerationRecipe
from schemas.reports import Document, EvaluationReport, PromotionDecision


class GenerationSummary(Document):
    """The result of a generation; everything else is in its folder. ``promoted``: the student's name in the recipe's
    registry; ``mirror_problem``: the reason why a mirror of the registry is not up to date."""

    name: str
    page: str
    pseudo_samples: int
    pseudo_boxes: int
    student: str
    decision: PromotionDecision
    promoted: str | None = None
    mirror_problem: str | None = None


def generation(
    recipe: GenerationRecipe,
    out: str | Path,
    *,
    workers: int | None = None,
    backend: Backend = "ray",
    progress: bool = True,
) -> GenerationSummary:
    """Run one generation into the folder ``out``. ``workers`` is the number of teachers that label, on ``backend``.

    ValueError where the recipe, a source or a checkpoint is wrong, or ``out`` is a URL or holds another generation;
    KeyboardInterrupt where it was interrupted, also by SIGTERM.
    """
    plan = plan_generation(recipe, local_folder(out))
    folder, recipe = plan.folder, plan.recipe
    say = partial(_say, progress)
    say("human data")
    plan.import_human()
    for line in plan.check_exams():
        say("note", line)
    say("label")
    pseudo = label(recipe.label, folder / "pseudo", workers=workers, backend=backend, progress=progress)
    if pseudo.units_left:
        raise KeyboardInterrupt(f"labelling has stopped: {pseudo.stopped}")
    say("train")
    trained = train(plan.training, folder / "student", workers=recipe.train_workers, progress=progress).checkpoint
    student = plan.candidate(trained)
    say("evaluate the teacher, then the student")
    incumbent = evaluate(plan.exams, folder / "evaluation" / "teacher", progress=progress)
    candidate = evaluate(plan.exams_of(student), folder / "evaluation" / "student", progress=progress)
    decision = decide(candidate, incumbent, recipe.gate)
    Store(folder).write_document(DECISION, decision)
    page = _report(plan, incumbent, candidate, decision)
    trace(folder, recipe, student, incumbent, candidate)
    say("promote" if decision.promote else "keep the teacher", decision.reason)
    registry = recipe.registry if decision.promote else None
    promoted = promote(folder, registry, progress=progress) if registry is not None else None
    say("report", page)
    return GenerationSummary(
        name=recipe.name,
        page=page,
        pseudo_samples=pseudo.samples,
        pseudo_boxes=pseudo.boxes,
        student=student,
        decision=decision,
        promoted=promoted.name if promoted else None,
        mirror_problem=promoted.mirror.problem if promoted and promoted.mirror else None,
    )


def _report(
    plan: GenerationPlan,
    incumbent: list[EvaluationReport],
    candidate: list[EvaluationReport],
    decision: PromotionDecision,
) -> str:
    """Write the page; pseudo-labels are judged here, if hidden boxes of their pictures are known."""
    page = report(
        [plan.folder / "pseudo"],
        plan.folder / "report",
        evaluations={"teacher": incumbent, "student": candidate},
        decision=decision,
        quality=plan.judge_pseudo_labels(),
        selection=plan.recipe.selection,
        human=[plan.folder / "gold" / source.name for source in plan.recipe.gold],
        title=f"Generation {plan.recipe.name}",
    )
    return str(page)


def _say(progress: bool, step: str, what: str = "") -> None:
    if progress:
        print(f"== {step}" + (f": {what}" if what else ""), flush=True)
