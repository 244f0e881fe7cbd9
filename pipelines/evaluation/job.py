"""The job of an evaluation: every sample of its datasets is answered, here or on Ray, by units as in labelling.

In: exams, a recipe, the model's digest, a folder. Out: the answers of each dataset, in the order of its samples. With a
folder each unit's are written there, and those that are there already are not asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice

from engine.artifacts import Store, digest_of
from engine.metrics.results import Results
from engine.runner import Backend, run
from engine.running.layout import Workers
from pipelines.console.progress import UnitProgress
from pipelines.evaluation.answered_units import AnsweredUnit, candidates_by_key, read_unit, write_unit
from pipelines.evaluation.exams import Exam
from pipelines.evaluation.stages import answer_stages, exam_name, exam_units, open_commit
from pipelines.labelling.run_time import RunTime
from pipelines.labelling.totals import Totals
from schemas.recipes import EvaluateRecipe
from schemas.records import UnitRef

# What answers are scored by, and which samples are asked about; all other fields of the recipe decide the answers.
NOT_IN_DIGEST = {
    *("datasets", "limit", "prompts"),  # each dataset's own are in its digest
    *("protocols", "lvis_annotations", "max_boxes", "frequencies", "baseline"),
}


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers to one dataset, and the seconds that all workers together took for them."""

    results: Results
    seconds: float


def answer_exams(
    exams: Sequence[Exam],
    recipe: EvaluateRecipe,
    model_digest: str,
    out: Store | None,
    *,
    backend: Backend,
    workers: Workers,
    progress: bool,
) -> Iterator[Answered]:
    """Ask the recipe's grounder about all samples of all exams; yields the answers of each exam, in order.

    ValueError and RuntimeError as of :func:`pipelines.label.label`.
    """
    refs = exam_units(exams)
    work, times = unit_digests(exams, recipe, model_digest), RunTime()
    units = [None if out is None else read_unit(out, ref, work(ref)) for ref in refs]
    todo, done, new = [refs[n] for n, unit in enumerate(units) if unit is None], Totals(), Totals()
    for found in units:
        if found is not None:
            done.add(found)
    with (
        UnitProgress("evaluating", sum(ref.rows for ref in refs), done, shown=progress) as bar,
        closing(
            run(
                todo,
                answer_stages(exams, recipe),
                partial(open_commit, work),
                backend=backend,
                workers=workers,
            )
        ) as answered,
    ):
        for unit in answered:
            times.unit_done(unit.seconds)
            if out is not None:
                write_unit(out, refs[unit.unit], unit)
            units[unit.unit] = unit
            new.add(unit)
            bar.show(new, times)
    for exam in exams:
        yield _of_exam(exam, [ref.index for ref in refs if exam_name(ref) == exam.name], units)


def unit_digests(exams: Sequence[Exam], recipe: EvaluateRecipe, model_digest: str) -> Callable[[UnitRef], str]:
    """The function that gives the digest of the work on a unit, which decides its answers."""
    return partial(_work_digest, {exam.name: _exam_digest(exam, recipe, model_digest) for exam in exams})


def _exam_digest(exam: Exam, recipe: EvaluateRecipe, model_digest: str) -> str:
    """The digest of all that decides the answers to a dataset, except for its slices."""
    asked = {name: asdict(one) for name, one in exam.asked.items()}
    fields = recipe.model_dump(mode="json", exclude=NOT_IN_DIGEST)
    return digest_of([model_digest, exam.card.source_fingerprint, exam.card.recipe_digest, asked, fields])


def _work_digest(exams: Mapping[str, str], ref: UnitRef) -> str:
    return digest_of([exams[exam_name(ref)], ref.uri, ref.first_row, ref.rows])


def _of_exam(exam: Exam, numbers: Sequence[int], units: list[AnsweredUnit | None]) -> Answered:
    """The answers of the units ``numbers``, which are taken out of ``units`` to free their memory, beside the human
    labels. A sample that was refused has no candidates."""
    labels, results, seconds = exam.labels(), Results(), 0.0
    for number in numbers:
        unit, units[number] = units[number], None
        assert unit is not None, "the job does all units or raises"
        results.add(islice(labels, unit.rows), candidates_by_key(unit))
        seconds += unit.seconds
    return Answered(results, seconds)
