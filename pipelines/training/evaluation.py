"""An evaluation along a training run: of the model at each checkpoint, the best of which is kept.

In: the folder of a model and its number of steps. Out, in the folder of the run: a line of ``evaluations.jsonl``, and
in ``best/`` a copy of the model with the highest figure so far: the last one may overfit (GLIP did, on LVIS).
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
    """How good the model was after so many steps: ``value`` is the run's metric, ``datasets`` it on each of them;
    ``model_digest`` is of the model that was judged, ``judged_by`` of what it was asked: the data, and how."""

    steps: int
    model_digest: str
    judged_by: str
    metric: str
    value: float
    datasets: dict[str, float]


@dataclass(frozen=True, slots=True)
class EvaluateAlong:
    """What a run calls at each checkpoint; holds no state but the files, so it may be pickled and called again."""

    recipe: RunEvaluation
    out: Path

    def __call__(self, steps: int, model: Path) -> None:
        """Evaluate the model that was saved after ``steps``, by a metric that :func:`check_before` knows.

        One that has been judged is not judged again: a run that goes on asks about the checkpoint that it goes on from,
        after which it may have been stopped. Nor is one of other steps, which that run makes again.
        """
        digest, judged_by = _digest_after(steps, model), _judged_by(self.recipe)
        # What was judged by another metric or on other data compares with nothing.
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
    """Copy a model's folder in the place of the best one so far."""
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
    """What was found along the run in ``out``, by steps; nothing where it was not evaluated."""
    store = Store(out)
    if not store.exists(EVALUATIONS):
        return []
    return [Standing.model_validate(json.loads(line)) for line in store.read(EVALUATIONS).splitlines()]


def best_of(found: list[Standing]) -> Standing:
    """The best of at least one; the earliest of equals."""
    return max(found, key=lambda one: (one.value, -one.steps))


def check_before(recipe: RunEvaluation, learned: Sequence[Store]) -> list[str]:
    """What is to be told before a run that is evaluated along begins: lines as of :func:`check_apart`.

    ValueError where a dataset is no whole human one, none of them has the metric, or one is learned from.
    """
    check_metric(recipe.metric, metric_names(_exam_recipe(recipe, "")), "evaluation.metric")
    return check_apart(recipe.datasets, learned)


def check_apart(exams: Sequence[str], learned: Sequence[Store]) -> list[str]:
    """A line on each dataset to evaluate on some of whose pictures, byte for byte, are learned from.

    ValueError where all of them are, in whatever format: then it is the same data.
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
    """The digest of the model in the folder; None where that is gone, or of other steps."""
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
    """The run's metric of a model on each dataset that has it."""
    reports = evaluate(_exam_recipe(recipe, str(model)), progress=False)
    return {
        report.dataset: one.value
        for report in reports
        for one in report.metrics
        if one.name == recipe.metric and one.value is not None
    }
