"""An evaluation along a training run: of the model at each checkpoint, the best of which is kept.

In: the folder of a model and its number of steps. Out, in the folder of the run: a line of ``evaluations.jsonl``, and
in ``best/`` a copy of the model with the highest figure so far: the last one may overfit (GLIP did, on LVIS).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from engine.artifacts import Store
from engine.mix import Mix
from engine.shards import read_card
from glip.whole_folder import written_whole
from pipelines.evaluate import evaluate
from schemas.recipes import EvaluateRecipe, RunEvaluation, TeacherRecipe, protocols_with
from schemas.reports import Document, EvaluationReport

EVALUATIONS, BEST = "evaluations.jsonl", "best"


class Standing(Document):
    """How good the model was after so many steps: ``value`` is the run's metric, ``datasets`` it on each of them."""

    steps: int
    metric: str
    value: float
    datasets: dict[str, float]


@dataclass(frozen=True, slots=True)
class EvaluateAlong:
    """What a run calls at each checkpoint; holds no state but the files, so it may be pickled and called again."""

    recipe: RunEvaluation
    out: Path

    def __call__(self, steps: int, model: Path) -> None:
        """Evaluate the model that was saved after ``steps``; ValueError where no dataset has the metric."""
        before = [one for one in standings(self.out) if one.steps < steps]
        found = _standing(self.recipe, steps, model)
        if not before or found.value > best_of(before).value:
            with written_whole(self.out / BEST) as draft:
                shutil.copytree(model, draft, dirs_exist_ok=True)
        lines = "".join(one.model_dump_json() + "\n" for one in [*before, found])
        Store(self.out).write(EVALUATIONS, lines.encode())


def standings(out: Path) -> list[Standing]:
    """What was found along the run in ``out``, by steps; nothing where it was not evaluated."""
    store = Store(out)
    if not store.exists(EVALUATIONS):
        return []
    return [Standing.model_validate(json.loads(line)) for line in store.read(EVALUATIONS).splitlines()]


def best_of(found: list[Standing]) -> Standing:
    """The best of at least one; the earliest of equals."""
    return max(found, key=lambda one: (one.value, -one.steps))


def check_apart(recipe: RunEvaluation, mix: Mix) -> None:
    """ValueError where a dataset to evaluate on is one that is learned from."""
    learned = {dataset.card.source_fingerprint for dataset in mix.datasets}
    for folder in recipe.datasets:
        if read_card(Store(folder)).source_fingerprint in learned:
            raise ValueError(
                f"evaluation.datasets: {folder} is in the mix too; a model is not judged by what it learned"
            )


def _standing(recipe: RunEvaluation, steps: int, model: Path) -> Standing:
    teacher = TeacherRecipe(checkpoint=str(model), min_size=recipe.min_size)
    exam = EvaluateRecipe(
        datasets=recipe.datasets,
        protocols=protocols_with(recipe.metric),
        teacher=teacher,
        limit=recipe.limit,
        prompts=recipe.prompts,
    )
    reports = evaluate(exam, progress=False)
    values = {report.dataset: value for report in reports if (value := _value(report, recipe.metric)) is not None}
    if not values:
        known = sorted({one.name for report in reports for one in report.metrics if "/" not in one.name})
        raise ValueError(f"evaluation.metric: no dataset has {recipe.metric!r}; there are: {', '.join(known)}")
    return Standing(steps=steps, metric=recipe.metric, value=fmean(values.values()), datasets=values)


def _value(report: EvaluationReport, metric: str) -> float | None:
    return next((one.value for one in report.metrics if one.name == metric), None)
