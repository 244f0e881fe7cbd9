"""What a labelling job will take, before it is begun: images/s, worker-hours, storage and cost of the whole source.

In: the recipe, workers, a price an hour. Out: estimates, each with its 95 % interval, and what they rest on. A few
hundred samples, spread over the source and drawn by a seed, go through the job's own stages on its own workers; their
shards and tables are measured in a temporary folder of the worker. Nothing is written anywhere else.

The intervals tell how much the source varies from slice to slice, not that another or a busier machine would be slower.
The first slice of each worker, which pays for its start, is not timed. Opening a file of the source is timed apart from
reading a slice of it: the job opens a file once for many units.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from engine.artifacts import Store
from engine.filtering.leaks import LeakGuard, read_leak_guard
from engine.runner import Backend, connected, run
from engine.running.layout import WRITE, Layout, Workers, layout
from engine.running.stages import Commit
from engine.sources import Source, open_source
from pipelines.labelling.bookkeeping import Digests, recipe_digest
from pipelines.labelling.estimates import bootstrap, spread_slices
from pipelines.labelling.plan_document import LabelPlan
from pipelines.labelling.stages import check_recipe, stages
from pipelines.labelling.totals import dropped_by_reason
from pipelines.labelling.unit_commit import open_commit
from pipelines.models.checkpoints import local_teacher, pinned_teacher
from schemas.recipes import LabelRecipe
from schemas.records import CaptionedImage, PseudoLabel, Reject, Unit, UnitRef
from schemas.shards import ShardManifest
from teacher.grounder import teacher_digest

SAMPLES = 300
SLICES = 10  # that are timed: few enough to be long, enough for an interval


def label_plan(
    recipe: LabelRecipe,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    workers: int | None = None,
    backend: Backend = "ray",
    price_per_hour: float | None = None,
) -> LabelPlan:
    """Probe ``samples`` samples, at least one for each worker and ``SLICES`` more; all of a source that has no more.
    ``price_per_hour`` is of one worker: of a GPU, or of as many CPUs as ``teacher.threads``.

    ValueError and RuntimeError as of :func:`pipelines.label.label`.
    """
    check_recipe(recipe)
    recipe = recipe.model_copy(update={"teacher": pinned_teacher(recipe.teacher)})
    source = open_source(recipe.source)
    refs = source.units(recipe.unit_size)
    guard = read_leak_guard(recipe.leaks, recipe.max_leak_distance)
    slots = Workers.of_teacher(recipe.teacher, workers)
    ray: AbstractContextManager[Any] = connected(slots) if backend == "ray" else nullcontext()
    began = time.monotonic()
    with ray as cluster:
        place = layout(stages(recipe, source, guard), slots, cluster and cluster.cluster_resources())
        probes = spread_slices(refs, samples, SLICES + place.teachers, seed)
        manifests, first_at = _probe(recipe, source, guard, probes, backend, slots)
    timed = _timed(manifests, place)
    estimate = partial(bootstrap, seed=seed)
    images = sum(ref.rows for ref in refs)
    rate = estimate(timed, partial(_rate, place=place, openings=_openings(refs, place)))
    hours = rate.over(images / 3600)
    worker_hours = hours.times(place.teachers)
    return LabelPlan(
        source_images=images,
        units=len(refs),
        probed_images=sum(one.rows for one in manifests),
        probed_slices=len(manifests),
        timed_slices=len(timed),
        seed=seed,
        workers=place.teachers,
        device="gpu" if place.on_gpu else "cpu",
        start_seconds=round(max(0.0, first_at - began - manifests[0].seconds), 1),
        images_per_second=rate,
        hours=hours,
        worker_hours=worker_hours,
        storage_bytes=estimate(manifests, _share(_bytes)).times(images),
        labelled_share=estimate(manifests, _share(lambda one: one.samples)),
        probed_rejects=dropped_by_reason(stage for one in manifests for stage in one.stages),
        boxes_per_image=estimate(manifests, _share(lambda one: one.boxes)),
        cost=None if price_per_hour is None else worker_hours.times(price_per_hour),
        price_per_hour=price_per_hour,
    )


# ----------------------------------------------------------------------------------------------------------- probing


def _probe(
    recipe: LabelRecipe,
    source: Source,
    guard: LeakGuard | None,
    probes: Sequence[UnitRef],
    backend: Backend,
    workers: Workers,
) -> tuple[list[ShardManifest], float]:
    """The manifests of the slices in the order in which they were done, and when the first one was."""
    read, *others = stages(recipe, source, guard)
    work = [replace(read, open=partial(_SliceReader, source)), *others]
    parts = dict.fromkeys((ref.uri for ref in probes), "")
    digests = Digests("", recipe_digest(recipe, guard), teacher_digest(local_teacher(recipe.teacher)), parts)
    manifests, first_at = [], 0.0
    with closing(run(probes, work, partial(_open_measure, digests), backend=backend, workers=workers)) as done:
        for manifest in done:
            first_at = first_at or time.monotonic()
            manifests.append(manifest)
    return manifests, first_at


@dataclass
class _SliceReader:
    """Reads a slice for the probe, after reading its first row once by itself.

    ``elapsed_seconds`` is the time by which the first row took longer than an average one: that of opening its file.
    """

    source: Source
    elapsed_seconds: float = 0.0

    def __call__(self, unit: Unit[int]) -> Sequence[CaptionedImage | Reject]:
        started = time.perf_counter()
        self.source.read(replace(unit.ref, rows=1))
        opened = time.perf_counter()
        outcomes = self.source.read(unit.ref)
        row_seconds = (time.perf_counter() - opened) / len(outcomes)
        self.elapsed_seconds += max(0.0, opened - started - row_seconds)
        return outcomes


def _open_measure(digests: Digests) -> Commit[ShardManifest]:
    """The job's commit, into a temporary folder that is deleted after it; the manifest's ``seconds`` include the
    writing."""

    def commit(unit: Unit[PseudoLabel]) -> ShardManifest:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="glip-engine-plan-") as folder:
            manifest = open_commit(Store(folder), digests)(unit)
        return manifest.model_copy(update={"seconds": manifest.seconds + time.perf_counter() - started})

    return commit


# ------------------------------------------------------------------------------------------------------- the figures


def _timed(manifests: Sequence[ShardManifest], place: Layout) -> Sequence[ShardManifest]:
    """The manifests without the first slice of each worker, unless there are no others. Beside a GPU manifests name
    their writer, not their teacher, so as many of the earliest slices are left out."""
    if len(place.pools) > 1:
        return manifests[place.teachers :] or manifests
    seen: Counter[str] = Counter()
    later = []
    for manifest in manifests:
        if seen[manifest.worker]:
            later.append(manifest)
        seen[manifest.worker] += 1
    return later or manifests


def _openings(refs: Sequence[UnitRef], place: Layout) -> dict[str, float]:
    """For each file of the source, how often the job opens it (once in each process that reads it), divided by its
    rows."""
    rows, units = Counter[str](), Counter[str]()
    for ref in refs:
        rows[ref.uri] += ref.rows
        units[ref.uri] += 1
    return {uri: min(place.pools[0].size, units[uri]) / rows[uri] for uri in rows}


def _rate(manifests: Sequence[ShardManifest], *, place: Layout, openings: dict[str, float]) -> float:
    """Images/s of the job: of its slowest pool."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for manifest in manifests:
        seconds[WRITE] += manifest.seconds
        for stage in manifest.stages:
            seconds[stage.stage] += stage.seconds
            seconds[WRITE] -= stage.seconds
        read = manifest.stages[0]
        opening = read.elapsed_seconds
        # The first row was read twice: once for the opening, which the job does for many units at once.
        seconds[read.stage] += opening * (openings[manifest.source_uri] * manifest.rows - 1)
        seconds[read.stage] -= max(0.0, read.seconds - opening) / (manifest.rows + 1)
    images = sum(manifest.rows for manifest in manifests)
    return min(pool.size * images / max(1e-9, sum(seconds[name] for name in pool.names)) for pool in place.pools)


def _share(amount: Callable[[ShardManifest], float]) -> Callable[[Sequence[ShardManifest]], float]:
    """A function that gives the mean of ``amount`` for each image of the source, labelled or not."""
    return lambda units: sum(amount(unit) for unit in units) / sum(unit.rows for unit in units)


def _bytes(manifest: ShardManifest) -> float:
    """The bytes of a slice's files. This estimates a little too much: tables of a short slice pay for their footers
    with fewer rows."""
    return sum(file.size for file in manifest.files)
