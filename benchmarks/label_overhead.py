"""What the labelling job costs beside its model: images/s of the job on Ray over those of the bare model loop.

    python benchmarks/label_overhead.py ../shared/data/photos/web --seconds 300

The bare loop is the job's own teacher worker (decode, resize, model, boxes) on requests that lie ready in memory, in as
many processes as the job has workers. The job reads, parses, grounds, selects, writes and commits the same images. The
loop runs before and after the job, half as long each, so that a machine that slows down or speeds up shows. Prints the
figures and exits with 1 where the job, start-up and all, keeps less than ``--at-least`` of the loop's rate.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from web_tars import repeat_source

from engine.runner import connected
from engine.running.cores import usable_cores
from engine.running.layout import Workers
from engine.running.stages import OpenedStages, first_unit
from engine.sources import open_source
from pipelines.label import label
from pipelines.labelling.stages import stages
from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource
from schemas.records import Unit, UnitRef

Span = tuple[float, float, int]  # when a process began and ended, and how many images it had


def main() -> int:
    options = _options()
    teacher = TeacherRecipe(checkpoint=options.checkpoint, batch_size=options.batch_size)
    recipe = LabelRecipe(
        source=WebDatasetSource(uri=options.source), teacher=teacher, unit_size=options.unit_size, min_score=0.05
    )
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        rate = bare_rate(recipe, options.workers, limit=options.unit_size)
        images = max(options.unit_size * options.workers, math.ceil(rate * options.seconds))
        source = WebDatasetSource(uri=str(repeat_source(options.source, Path(scratch) / "web", images)))
        recipe = recipe.model_copy(update={"source": source})
        before = bare_rate(recipe, options.workers, limit=images // 2)
        job = job_rates(recipe, Path(scratch) / "out", options.workers)
        after = bare_rate(recipe, options.workers, limit=images // 2)
    loop = 2 / (1 / before + 1 / after)
    figures = {
        "images": images,
        "workers": options.workers,
        "checkpoint": options.checkpoint,
        "bare_loop_images_per_s": [round(before, 2), round(after, 2)],
        "job_images_per_s": round(job["whole"], 2),
        "job_images_per_s_without_ray_start": round(job["without_ray_start"], 2),
        "job_seconds": round(job["seconds"], 1),
        "ratio": round(job["whole"] / loop, 3),
        "ratio_without_ray_start": round(job["without_ray_start"] / loop, 3),
    }
    print(json.dumps(figures, indent=1))
    return 0 if figures["ratio"] >= options.at_least else 1


def job_rates(recipe: LabelRecipe, out: Path, workers: int) -> dict[str, float]:
    """Images/s of the whole job, and of a job with a Ray that runs already, as on a cluster."""
    started = time.monotonic()
    with connected(Workers(workers, recipe.teacher.threads)):
        ray_started = time.monotonic()
        result = label(recipe, out, workers=workers, progress=False)
        ended = time.monotonic()
    return {
        "whole": result.images / (ended - started),
        "without_ray_start": result.images / (ended - ray_started),
        "seconds": ended - started,
    }


def bare_rate(recipe: LabelRecipe, workers: int, *, limit: int) -> float:
    """Images/s of ``workers`` processes that only ground, for at most ``limit`` images."""
    refs = open_source(recipe.source).units(recipe.unit_size)
    refs = refs[: max(workers, limit // recipe.unit_size)]
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=_ground_alone, args=(recipe, refs[number::workers], ready, results))
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    spans: list[Span] = [results.get() for _ in processes]
    for process in processes:
        process.join()
    seconds = max(end for _, end, _ in spans) - min(start for start, _, _ in spans)
    return sum(count for _, _, count in spans) / seconds


def _ground_alone(recipe: LabelRecipe, refs: Sequence[UnitRef], ready: Barrier, results: Queue[Span]) -> None:
    source = open_source(recipe.source)
    *preparing, ground, _ = stages(recipe, source)
    prepare = OpenedStages(preparing)
    units = [prepare(first_unit(ref)) for ref in refs]
    work = ground.open()
    if units:
        work(Unit(units[0].ref, units[0].records[: recipe.teacher.batch_size]))
    ready.wait()
    started = time.monotonic()
    for unit in units:
        work(unit)
    results.put((started, time.monotonic(), sum(ref.rows for ref in refs)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of tars as img2dataset writes them")
    parser.add_argument("--checkpoint", default="nano")
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--unit-size", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the job")
    parser.add_argument("--at-least", type=float, default=0.9, help="exit with 1 below this ratio")
    parser.add_argument("--scratch", help="folder for the repeated source and the labels")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
