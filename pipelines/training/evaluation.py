"""Evaluation along a training run: of the model at each checkpoint, keeping the best one.

In: the folder of a model and its number of steps. Out, in the folder of the run: a line of ``evaluations.jsonl``, and
in ``best/`` a copy of the best model so far, since the last one may overfit (GLIP did, on LVIS).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from engine.artifacts import Store, digest_of
from engine.mix.labels import shared_pictures
from glip.model_folder import CONFIG_FILE, description_digest, read_description
from glip.whole_folder import written_whole
from pipelines.evaluate import evaluate
from pipelines.evaluation.exams import open_exams
from pipelines.evaluation.metric_names import check_metric, metric_names
from schemas.recipes import EvaluateRecipe, RunEvaluation, TeacherRecipe, protocols_with
from schemas.reports import Document

EVALUATIONS, BEST = "evaluations.jsonl", "best"


class Standing(Document):
    """The evaluation of the model after ``steps``. ``value``: the run's metric, as a mean over ``datasets``.
    ``model_digest``: of the model. ``judged_by``: the digest of the data and the recipe of the evaluation."""

    steps: int
    model_digest: str
    judged_by: str
    metric: str
    value: float
    datasets: dict[str, float]


@dataclass(frozen=True, slots=True)
class EvaluateAlong:
    """The callback of a run for each checkpoint. All its state is in files, so that it can be pickled, and repeated."""

    recipe: RunEvaluation
    out: Path

    def __call__(self, steps: int, model: Path) -> None:
        """Evaluate the model that was saved after ``steps``, by a metric that :func:`check_before` has checked.

        Nothing happens if it has been evaluated already: a resumed run also calls this for the checkpoint that it
        resumes from. Nor if the model is gone or has another number of steps: the resumed run saves it again.
        """
        digest, judged_by = _digest_after(steps, model), _judged_by(self.recipe)
        # Evaluations by another metric or on other data are not comparable.
        known = [one for one in standings(self.out) if one.judged_by == judged_by]
        if digest is None or any((one.steps, one.model_digest) == (steps, digest) for one in known):
            return
        before = [one for one in known if one.steps < steps]
        values = _values(self.recipe, model)
        found = Standing(
            steps=steps,
            model_digest=digest,
            judged_by=judged_by,
            metric=self.recipe.metric,
            value=fmean(values.values()),
            datasets=values,
        )
        if not before or found.value > best_of(before).value:
            _keep(model, self.out / BEST)
        lines = "".join(one.model_dump_json() + "\n" for one in [*before, found])
        Store(self.out).write(EVALUATIONS, lines.encode())


def _keep(model: Path, best: Path) -> None:
    """Replace the best model so far with a copy of a model's folder."""
    try:
        with written_whole(best) as draft:
            for file in model.iterdir():
                shutil.copy(file, draft)
    except OSError as error:
        raise OSError(
            f"the model could not be copied into {best} ({error.strerror or error}); what was there before is whole, "
            "and so is the checkpoint: make room on the disk and run the same command again"
        ) from error


def standings(out: Path) -> list[Standing]:
    """The evaluations along the run in ``out``, ordered by steps; empty where there were none."""
    store = Store(out)
    if not store.exists(EVALUATIONS):
        return []
    return [Standing.model_validate(json.loads(line)) for line in store.read(EVALUATIONS).splitlines()]


def best_of(found: list[Standing]) -> Standing:
    """The best of at least one evaluation; the earliest of equal ones."""
    return max(found, key=lambda one: (one.value, -one.steps))


def check_before(recipe: RunEvaluation, learned: Sequence[Store]) -> list[str]:
    """Check the evaluations of a run before it begins; returns warnings as :func:`check_apart`.

    ValueError where a dataset is no whole human one, none of them has the metric, or one is trained on.
    """
    check_metric(recipe.metric, metric_names(_exam_recipe(recipe, "")), "evaluation.metric")
    return check_apart(recipe.datasets, learned)


def check_apart(exams: Sequence[str], learned: Sequence[Store]) -> list[str]:
    """A warning for each dataset to evaluate on of which some pictures, byte for byte, are trained on.

    ValueError where all of its pictures are, in whatever format: then it is the same data.
    """
    told = []
    for folder in exams:
        pictures, shared = shared_pictures(Store(folder), learned)
        if 0 < shared == pictures:
            raise ValueError(
                f"{folder} is learned from: all of its {pictures} pictures with boxes are in the training data, too; "
                "a model is not judged by what it learned"
            )
        if shared:
            told.append(f"{folder}: {shared} of its {pictures} pictures with boxes are learned from, too")
    return told


def _digest_after(steps: int, model: Path) -> str | None:
    """The digest of the model in the folder; None where that is gone, or has another number of steps."""
    if not (model / CONFIG_FILE).is_file():
        return None
    description = read_description(model)
    return description_digest(description) if description["metadata"].get("steps") == steps else None


def _judged_by(recipe: RunEvaluation) -> str:
    exams = open_exams(_exam_recipe(recipe, ""))
    return digest_of([recipe.model_dump(mode="json", exclude={"datasets"}), [exam.fingerprint for exam in exams]])


def _exam_recipe(recipe: RunEvaluation, checkpoint: str) -> EvaluateRecipe:
    return EvaluateRecipe(
        datasets=recipe.datasets,
        protocols=protocols_with(recipe.metric),
        teacher=TeacherRecipe(checkpoint=checkpoint, min_size=recipe.min_size),
        limit=recipe.limit,
        prompts=recipe.prompts,
    )


def _values(recipe: RunEvaluation, model: Path) -> dict[str, float]:
    """The run's metric of a model, by dataset, for the datasets that have it."""
    reports = evaluate(_exam_recipe(recipe, str(model)), progress=False)
    return {
        report.dataset: one.value
        for report in reports
        for one in report.metrics
        if one.name == recipe.metric and one.value is not None
    }
