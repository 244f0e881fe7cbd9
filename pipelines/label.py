"""The labelling job: captioned images in, a dataset of phrase-box pseudo-labels out.

The stages are those of :mod:`pipelines.labelling.stages`; this file keeps the books: which units are done already, what
may be gone on with, what came out. One unit of the source is one shard, and its manifest the commit: retry, resume and
rerun are the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.artifacts import Store
from engine.dataset.committed import committed_manifests, delete_units_beyond, uncommit
from engine.filtering.leaks import LeakGuard, read_leak_guard
from engine.runner import Backend, run
from engine.running.layout import Workers
from engine.running.stopping import Stopping
from engine.selection import check_teacher
from engine.sources import Source, open_source
from pipelines.console.number_formats import counted
from pipelines.console.progress import UnitProgress
from pipelines.console.stop_signals import stopped_by_sigterm
from pipelines.labelling.bookkeeping import (
    Digests,
    LabelResult,
    digests_of,
    finish_dataset,
    open_dataset,
    pin_teacher,
)
from pipelines.labelling.job_log import JobLog
from pipelines.labelling.run_time import RunTime
from pipelines.labelling.stages import check_recipe, stages
from pipelines.labelling.totals import Totals
from pipelines.labelling.unit_commit import open_commit
from schemas.recipes import LabelRecipe
from schemas.records import UnitRef
from schemas.shards import DatasetCard

LEFT_OUT = {"filter_phrases": "on the stop list", "prompt": "too long for the teacher"}  # phrases, by stage


def label(
    recipe: LabelRecipe,
    out: str | Path,
    *,
    workers: int | None = None,
    backend: Backend = "ray",
    relabel: bool = False,
    budget_hours: float | None = None,
    log: str | Path | None = None,
    progress: bool = True,
) -> LabelResult:
    """Label the recipe's source into the dataset ``out``; what is done there already is not done again.

    ``relabel`` allows that ``out`` holds work of another recipe or teacher, or of a source that has changed since: the
    units that this changes are done again, one by one, and what comes out is what a new folder would hold.

    ``workers`` is the number of teachers, one for each GPU or CPU slot where None. ValueError in one line where the
    source, the checkpoint or the recipe is wrong, or ``out`` holds other work; RuntimeError where a worker fails.
    Interrupted at any moment, the same call goes on and ends in the same shards.

    ``budget_hours`` after the call, or at SIGTERM, no further unit is begun, and those in flight are finished: what is
    there is a whole dataset with ``units_left`` to do. ``log`` is a file for JSON lines
    (:mod:`pipelines.labelling.job_log`).
    """
    times = RunTime()
    stopping = Stopping(None if budget_hours is None else 3600 * budget_hours)
    store = Store(out)
    job = _plan(recipe, store, relabel)
    with store.locked(), stopped_by_sigterm(stopping):
        card, done, todo = _begin(store, job, relabel)
        new = Totals()
        with (
            JobLog(log, dataset=store.root, units=len(job.refs), units_done=done.units, **_named(job.digests)) as lines,
            UnitProgress("labelling", sum(ref.rows for ref in job.refs), done, shown=progress) as bar,
            closing(
                run(
                    todo,
                    stages(job.recipe, job.source, job.guard),
                    partial(open_commit, store, job.digests),
                    backend=backend,
                    workers=Workers.of_teacher(job.recipe.teacher, workers),
                    stopping=stopping,
                    lost=lines.lost,
                )
            ) as manifests,
        ):
            for manifest in manifests:
                times.unit_done(manifest.seconds)
                new.add(manifest)
                bar.show(new, times)
                lines.committed(manifest)
            result = finish_dataset(store, card, done, new, times, stopped=stopping.reason)
            lines.end(result)
    if progress:
        print_result(result)
    return result


@dataclass(frozen=True)
class _Job:
    """A labelling job, planned: the units of its source, and the digests of its work."""

    recipe: LabelRecipe
    source: Source
    refs: Sequence[UnitRef]
    guard: LeakGuard | None
    digests: Digests


def _plan(recipe: LabelRecipe, store: Store, relabel: bool) -> _Job:
    """The job of a recipe, its teacher pinned to a version; nothing is written."""
    check_recipe(recipe)
    source = open_source(recipe.source)
    recipe = pin_teacher(recipe, store, anew=relabel)
    refs = source.units(recipe.unit_size)
    guard = read_leak_guard(recipe.leaks, recipe.max_leak_distance)
    digests = digests_of(recipe, source, refs, guard)
    check_teacher(recipe.selection, digests.teacher)
    return _Job(recipe, source, refs, guard, digests)


def _begin(store: Store, job: _Job, relabel: bool) -> tuple[DatasetCard, Totals, list[UnitRef]]:
    """The card of the dataset, the sums over the units that are done, and the units that are not."""
    card = open_dataset(store, job.recipe, job.digests, units=len(job.refs), relabel=relabel)
    if not card.complete:
        delete_units_beyond(store, len(job.refs))  # of what was relabelled, if its units were more
    done, todo = Totals(), list[UnitRef]()
    for ref, manifest in zip(job.refs, committed_manifests(store, job.refs, job.digests.work), strict=True):
        if manifest is None:
            todo.append(ref)
        else:
            done.add(manifest)
    if todo:
        uncommit(store, [ref.index for ref in todo])  # what is left of other work, or damaged
    return card, done, todo


def _named(digests: Digests) -> dict[str, str]:
    """The digests of the job's work, by the names that the log uses."""
    return {"source": digests.source, "recipe": digests.recipe, "teacher": digests.teacher}


# --------------------------------------------------------------------------------------------------------- for a reader


def print_result(result: LabelResult) -> None:
    """The funnel, a line a stage, and what came out."""
    width = max((len(stage.stage) for stage in result.stages), default=0)
    for stage in result.stages:
        why = [f"{count} {reason}" for reason, count in stage.dropped.items()]
        if stage.phrases_left_out:
            why.append(f"{counted(stage.phrases_left_out, 'phrase')} {LEFT_OUT[stage.stage]}")
        print(f"  {stage.stage:{width}} {stage.came_in:>9} in {stage.went_on:>9} on   {', '.join(why)}".rstrip())
    speed = f"{result.images_per_second} images/s after a start of {result.start_seconds} s"
    if not result.new_units:
        speed = "no unit was done" if result.units_left else "all was done before"
    if result.utilisation is not None:
        speed += f", the model computing {result.utilisation:.0%} of its workers' time"
    print(
        f"{result.dataset}: {counted(result.samples, 'labelled image')} in {counted(result.units, 'shard')}, "
        f"{counted(result.phrases, 'phrase')}, {counted(result.boxes, 'candidate box', 'candidate boxes')}, "
        f"{counted(sum(result.rejects.values()), 'reject')}; {result.seconds} s, {speed}"
    )
    if result.rejects and not result.samples:
        print(f"nothing was labelled; {result.dataset}/rejects/ holds each sample with its reason")
    if result.units_left:
        print(
            f"stopped ({result.stopped}): {result.units_left} of {result.units + result.units_left} units are left; "
            "run the same command again to resume"
        )
