"""Several generations in a row: the promoted student teaches the next.

In: a recipe and the number of generations. Out: folders ``generation-1``, ``generation-2``, … inside of one. The series
ends with a generation whose student the gate refuses, since its teacher would teach the same again. A series that was
stopped resumes where it stopped, as each of its generations does.
"""

from __future__ import annotations

from pathlib import Path

from engine.runner import Backend
from pipelines.generation import GenerationSummary, generation
from pipelines.models.local_folders import local_folder
from schemas.recipes import GenerationRecipe
from schemas.reports import Document


class GenerationsSummary(Document):
    """The result of a series. ``stopped``: the reason why it has fewer generations than ``asked``."""

    asked: int
    generations: list[GenerationSummary]
    stopped: str | None = None


def generations(
    recipe: GenerationRecipe,
    out: str | Path,
    count: int,
    *,
    workers: int | None = None,
    backend: Backend = "ray",
    progress: bool = True,
) -> GenerationsSummary:
    """Run up to ``count`` generations into folders inside of ``out``. ValueError as for a single one, and where the
    recipe's teacher is no single ``glip`` checkpoint, which a student could replace."""
    if recipe.label.teacher.grounder != "glip":
        raise ValueError(
            f"--generations: the student takes the teacher's place, so the teacher is one glip checkpoint, not "
            f"{recipe.label.teacher.grounder!r}"
        )
    done: list[GenerationSummary] = []
    for number in range(1, count + 1):
        own = _taught_by(done[-1], recipe, number) if done else recipe
        folder = local_folder(out) / f"generation-{number}"
        done.append(generation(own, folder, workers=workers, backend=backend, progress=progress))
        if not done[-1].decision.promote and number < count:
            stopped = f"the student of generation {number} was not promoted, so the next would repeat it"
            if progress:
                print(f"== stop: {stopped}", flush=True)
            return GenerationsSummary(asked=count, generations=done, stopped=stopped)
    return GenerationsSummary(asked=count, generations=done)


def _taught_by(before: GenerationSummary, recipe: GenerationRecipe, number: int) -> GenerationRecipe:
    """The recipe with the promoted student as the teacher, and another seed for training."""
    teacher = recipe.label.teacher.model_copy(
        update={"checkpoint": before.promoted or before.student, "checkpoint_sha256": None}
    )
    train = recipe.train | {"seed": int(recipe.train.get("seed", 0)) + number - 1}
    return recipe.model_copy(
        update={
            "name": f"{recipe.name}-{number}",
            "label": recipe.label.model_copy(update={"teacher": teacher}),
            "train": train,
        }
    )
