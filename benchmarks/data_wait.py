"""Does the input pipeline keep up with nano? Steps on data read ahead, against steps on data that is in memory.

    python benchmarks/data_wait.py                  # two cores: one for the model, one for the pipeline

One session, in turn: a stretch of steps on batches that the loader makes from shards, a stretch on the same batches now
that they are in memory, and so on, so that both see the same machine. What the loader made ahead during the second is
thrown away before the next, or a loader slower than the model would look as fast. Printed: steps a second of either,
the median of the ratios of neighbouring stretches with its range, the share of the time that steps waited for data, and
the ratio of the processor time that the model's own thread took, which other work on the machine changes little.
Human photos of the data folder where there is one (``--photos``), else drawn scenes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import torch
from real_data import real_data

from engine.gold import import_gold
from engine.mix import Mix
from schemas.recipes import MixEntry, ScenesSource, TrainRecipe
from student.collate import Batch
from student.session import Session, build
from student.step import train_step
from student.workers import Workers


def main() -> int:
    options = _options()
    torch.set_num_threads(options.threads)
    recipe = _recipe(options)
    mix = Mix.open(recipe.mix, recipe.seed)
    session = build(recipe, mix, Workers())
    loaded = session.data.batches(0)
    _stretch(session, _first(loaded, options.stretch, []))  # warm-up: the cost of first steps is no wait for data
    ratios, work, waits, seconds = [], [], 0.0, 0.0
    print(f"{'loaded':>14} {'in memory':>14} {'ratio':>7} {'waited':>7}")
    for _ in range(options.stretches):
        for _ in range(batches_ahead(options)):
            next(loaded)
        _stretch(session, _first(loaded, 1, []))  # time for the loader to restart
        memory: list[Batch] = []
        with_loader, waited, own = _stretch(session, _first(loaded, options.stretch, memory))
        without, _, own_without = _stretch(session, memory)
        waits, seconds = waits + waited, seconds + with_loader
        ratios.append(without / with_loader)
        work.append(own_without / own)
        rates = (options.stretch / with_loader, options.stretch / without)
        print(f"{rates[0]:>8.2f} steps/s {rates[1]:>6.2f} steps/s {ratios[-1]:>7.3f} {waited / with_loader:>7.1%}")
    mix.close()
    print(
        f"median ratio {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}); data-wait share "
        f"{waits / seconds:.1%}; processor time of the model's thread {median(work):.3f} ({min(work):.3f} to "
        f"{max(work):.3f}); batch {recipe.batch_size}, {options.threads} model thread(s), "
        f"{recipe.loader_threads} loader thread(s), {os.cpu_count()} cores"
    )
    return 0


def batches_ahead(options: argparse.Namespace) -> int:
    """The number of batches that an idle loader has ready."""
    return 2 * int(options.loader_threads)


def _stretch(session: Session, batches: Iterable[Batch]) -> tuple[float, float, float]:
    """The seconds of steps on these batches, those among them of waiting for a batch, and the processor seconds of this
    thread."""
    began = asked = time.perf_counter()
    own, waited = time.thread_time(), 0.0
    for batch in batches:
        waited += time.perf_counter() - asked
        train_step(session, batch, 0)
        asked = time.perf_counter()
    return time.perf_counter() - began, waited, time.thread_time() - own


def _first(batches: Iterator[Batch], count: int, kept: list[Batch]) -> Iterator[Batch]:
    """The next ``count`` batches, each also appended to ``kept``."""
    for _ in range(count):
        kept.append(next(batches))
        yield kept[-1]


def _recipe(options: argparse.Namespace) -> TrainRecipe:
    out = Path(options.out)
    if options.photos:
        import_gold("coco-phrases", real_data("photos/human"), out / "photos")
    else:
        import_gold("scenes", ScenesSource(count=200, seed=0), out / "scenes")
    steps = options.stretch + options.stretches * (batches_ahead(options) + 1 + options.stretch)
    return TrainRecipe(
        mix=(MixEntry(dataset=str(out / ("photos" if options.photos else "scenes"))),),
        init="nano",
        steps=steps,
        batch_size=options.batch_size,
        min_sizes=(128, 160),
        max_size=256,
        scale_jitter=(0.7, 1.5),
        color_jitter=0.3,
        loader_threads=options.loader_threads,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/data_wait", help="folder of the dataset")
    parser.add_argument("--photos", action="store_true", help="photos of the data folder in place of scenes")
    parser.add_argument("--stretches", type=int, default=5)
    parser.add_argument("--stretch", type=int, default=8, help="steps of a stretch")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1, help="of the model")
    parser.add_argument("--loader-threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
