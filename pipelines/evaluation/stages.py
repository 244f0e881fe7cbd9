"""The stages of an evaluation, and how each is opened in its worker process: those of labelling, cut short.

    read > answer

In: exams and a recipe. Out: units, stages and a commit for :func:`engine.runner.run`; the manifest of a unit carries
what was answered (:class:`~pipelines.evaluation.answered_units.AnsweredUnit`), so that workers write nothing and need
no folder in common with the driver but those of the datasets and the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from engine.running.stages import Commit, Stage
from engine.shards import ShardReader, committed_units, read_manifest
from engine.sources.numbered_files import row_slices
from pipelines.evaluation.answered_units import AnsweredUnit, answer_table, answered_unit
from pipelines.evaluation.answers import SAMPLES_AT_ONCE, answer, as_question, open_ask
from pipelines.evaluation.exams import Exam
from pipelines.labelling.unit_commit import work_record
from pipelines.models.checkpoints import local_teacher
from schemas.recipes import EvaluateRecipe
from schemas.records import Answer, ParsedCaption, Reject, Unit, UnitRef
from schemas.shards import ShardManifest
from teacher.grounder import open_grounder
from teacher.worker import TeacherWorker

ANSWER = "answer"  # the stage in which samples are refused, whatever refuses them


def exam_units(exams: Sequence[Exam]) -> list[UnitRef]:
    """The exams in order, cut into slices of at most ``SAMPLES_AT_ONCE`` samples of one shard, so that several workers
    share a shard. ``uri`` is ``DATASET#SHARD``; rows are those of the shard.

    ValueError where a shard is not whole.
    """
    slices = (one for exam in exams for one in _slices(exam))
    return [UnitRef(number, *one) for number, one in enumerate(slices)]


def exam_name(ref: UnitRef) -> str:
    """The name of the dataset that a unit belongs to."""
    return ref.uri.rpartition("#")[0]


def _slices(exam: Exam) -> Iterator[tuple[str, int, int]]:
    """(uri, first row, rows) of each slice, up to the exam's number of samples."""
    left = len(exam)
    for shard in committed_units(exam.store):
        manifest = read_manifest(exam.store, shard)
        if manifest is None:
            raise ValueError(f"unit {shard} of {exam.store.root} has no whole manifest; run `import` again")
        samples = min(manifest.samples, left)
        for part in row_slices(samples, SAMPLES_AT_ONCE):
            yield f"{exam.name}#{shard:06d}", *part
        left -= samples


def answer_stages(exams: Sequence[Exam], recipe: EvaluateRecipe) -> list[Stage]:
    """The stages of the job. Beside a GPU, reading and answering have processes of their own."""
    by_name = {exam.name: exam for exam in exams}
    return [
        Stage("read", partial(_open_reader, by_name)),
        Stage(ANSWER, partial(_Answering, by_name, recipe), "teacher"),
    ]


def _open_reader(exams: Mapping[str, Exam]) -> Callable[[Unit[int]], list[ParsedCaption]]:
    def read(unit: Unit[int]) -> list[ParsedCaption]:
        name, _, shard = unit.ref.uri.rpartition("#")
        with ShardReader(exams[name].store, int(shard)) as reader:
            return [as_question(reader[row]) for row in unit.records]

    return read


class _Answering:
    """The stage that answers units of several datasets; it measures itself as a stage with a model does."""

    def __init__(self, exams: Mapping[str, Exam], recipe: EvaluateRecipe) -> None:
        grounder = open_grounder(local_teacher(recipe.teacher))
        self._worker = TeacherWorker(
            grounder, batch_size=recipe.teacher.batch_size, min_score=max(recipe.min_score, 1e-6)
        )
        self._ask = {
            name: open_ask(exam.card, grounder, recipe.chunk_classes, exam.asked) for name, exam in exams.items()
        }

    def __call__(self, unit: Unit[ParsedCaption]) -> list[Answer | Reject]:
        outcomes = answer(unit.records, self._ask[exam_name(unit.ref)], self._worker)
        return [replace(one, stage=ANSWER) if isinstance(one, Reject) else one for one in outcomes]

    @property
    def computing_seconds(self) -> float:
        return self._worker.computing_seconds

    @property
    def elapsed_seconds(self) -> float:
        return self._worker.elapsed_seconds


def open_commit(work_digest: Callable[[UnitRef], str]) -> Commit[AnsweredUnit]:
    """The function that makes a unit's manifest: its answers with the counts of each stage."""

    def commit(unit: Unit[Answer]) -> AnsweredUnit:
        keys = [one.key for one in unit.records]
        manifest = ShardManifest(
            unit=unit.ref.index,
            source_uri=unit.ref.uri,
            first_row=unit.ref.first_row,
            rows=unit.ref.rows,
            work_digest=work_digest(unit.ref),
            samples=len(keys),
            phrases=sum(len({found.phrase for found in one.candidates}) for one in unit.records),
            boxes=sum(len(one.candidates) for one in unit.records),
            rejects=len(unit.rejects),
            files=[],
            first_key=keys[0] if keys else None,
            last_key=keys[-1] if keys else None,
            **work_record(unit),
        )
        return answered_unit(manifest, answer_table(unit.records))

    return commit
