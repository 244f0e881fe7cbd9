"""Where the time and the memory of a training step go, component by component.

    OMP_NUM_THREADS=2 python benchmarks/training_step.py                                          # nano, two CPU cores
    OMP_NUM_THREADS=2 python benchmarks/training_step.py --size tiny --short 160 --long 256 --batch-size 1 --repeats 1
    python benchmarks/training_step.py --device cuda --size tiny --batch-size 4 --json training.json        # 800 x 1333

Steps of ``student.step`` on drawn scenes, read ahead by loader threads as in a run. Sides: fp32 and bf16, each
keeping what the backward pass needs, or computing blocks again ("checkpointed"); by default bf16 on a GPU and fp32 on a
CPU. Medians of some steps after one of warm-up. To time a component every one of them waits for the device, so "whole
step, undisturbed" is of other steps, which wait once. "Preprocess" is a batch made by one thread while nothing else
runs; in a step it happens beside the model, and "data wait" is what is left of it. Peak memory is what a step adds to
what is held between steps: weights, their average and the moments of the optimizer. nano has the shipped weights, the
others random ones.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from component_timing import COMPONENTS, clocked, machine, synchronise, timed_components
from self_training_worlds import DATA
from speed_measures import peak_memory
from training_table import REST, table

from engine.gold import import_gold
from engine.mix import Mix
from schemas.recipes import MixEntry, ScenesSource, TrainRecipe
from student.session import SIZES, Session, build
from student.step import train_step
from student.workers import Workers

SIDES: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "fp32 checkpointed": {"precision": "fp32", "gradient_checkpointing": True},
    "bf16": {"precision": "bf16"},
    "bf16 checkpointed": {"precision": "bf16", "gradient_checkpointing": True},
}
ON_CPU, ON_GPU = ["fp32", "fp32 checkpointed"], ["bf16", "bf16 checkpointed"]
SCENES = 64


class StepClock:
    """Seconds of each thing that a step does, and of the model's components in its forward pass."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, work: str) -> Iterator[None]:
        device = self.session.device
        # Hooks for the forward pass alone: what is computed again in the backward pass would be counted twice.
        hooks = timed_components(self.session.raw, device) if work == "forward" else nullcontext({})
        with hooks as components:
            synchronise(device)
            started = time.perf_counter()
            yield
            synchronise(device)
            self.seconds[work] += time.perf_counter() - started
        for name, seconds in components.items():
            self.seconds[name] += seconds


def measure(session: Session, warmup: int, repeats: int) -> dict[str, Any]:
    """Medians of what the steps take, images a second, and memory."""
    device, data = session.device, session.data
    timed: list[dict[str, float]] = []
    undisturbed: list[float] = []
    with closing(data.batches(0)) as batches:
        for step in range(warmup + repeats):
            seconds = _timed_step(session, batches, step)
            batch = next(batches)
            _, whole = clocked(lambda b=batch, s=step: train_step(session, b, s), device)
            if step >= warmup:
                timed.append(seconds)
                undisturbed.append(whole)
        added = peak_memory(lambda: train_step(session, batch, 0), device)
    rows = {name: median(seconds[name] for seconds in timed) for name in timed[0]}
    rows["whole step, undisturbed"] = median(undisturbed)
    return {
        "seconds": rows,
        "undisturbed_runs": undisturbed,
        "preprocess": median(clocked(lambda s=step: data.batch(s), device)[1] for step in range(repeats)),
        "images_per_s": session.recipe.batch_size / rows["whole step, undisturbed"],
        "held_mib": _held_bytes(session) / 2**20,
        "peak_memory_mib": added,
    }


def _timed_step(session: Session, batches: Iterator[Any], step: int) -> dict[str, float]:
    """A step of which every component is timed."""
    clock = StepClock(session)
    batch, waited = clocked(lambda: next(batches), session.device)
    _, whole = clocked(lambda: train_step(session, batch, step, clock), session.device)
    seconds = dict(clock.seconds)
    inside = sum(seconds[name] for name in COMPONENTS if name != "deformable convolution")
    return {**seconds, "data wait": waited, REST: seconds["forward"] - inside, "whole step": whole}


def _held_bytes(session: Session) -> int:
    moments = [value for state in session.optimizer.state.values() for value in state.values()]
    held = [*session.raw.parameters(), *session.average.weights.values(), *moments]
    return sum(tensor.nbytes for tensor in held)


def _recipe(options: argparse.Namespace, folder: Path, side: str) -> TrainRecipe:
    config = SIZES[options.size]()
    return TrainRecipe(
        mix=(MixEntry(dataset=str(folder)),),
        init="nano" if options.size == "nano" else f"random:{options.size}",
        tokenizer=str(options.tokenizer),
        steps=2 * (options.warmup + options.repeats),
        batch_size=options.batch_size,
        min_sizes=(options.short or max(config.train_min_sizes),),
        max_size=options.long or config.train_max_size,
        loader_threads=options.loader_threads,
        **SIDES[side],
    )


def main() -> int:
    options = _options()
    torch.set_num_threads(options.threads)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "scenes"
        import_gold("scenes", ScenesSource(count=SCENES, seed=1), folder)
        for side in options.sides or (ON_GPU if options.device == "cuda" else ON_CPU):
            recipe = _recipe(options, folder, side)
            mix = Mix.open(recipe.mix, recipe.seed)
            try:
                session = build(recipe, mix, Workers(torch.device(options.device)))
                found[side] = measure(session, options.warmup, options.repeats)
            except torch.OutOfMemoryError:
                print(f"{side}: batch {options.batch_size} does not fit into the memory of the device", flush=True)
            finally:
                session = None
                mix.close()
                gc.collect()  # the next side has the memory of this one
    if not found:
        return 1
    sides = f"short side {recipe.min_sizes[0]}, long side at most {recipe.max_size}"
    print(f"machine: {json.dumps(machine())}")
    print(table(f"{options.size}, batch {options.batch_size}, {sides}", found), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "arguments": sys.argv[1:], "sides": found}, indent=1))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", choices=SIZES, default="nano")
    parser.add_argument("--sides", nargs="+", choices=SIDES)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--short", type=int, help="short side of the pictures in pixels; the model's largest")
    parser.add_argument("--long", type=int, help="the long side is at most this; the model's own")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch on the CPU")
    parser.add_argument("--loader-threads", type=int, default=2)
    parser.add_argument("--tokenizer", type=Path, default=DATA / "wordpiece" / "vocab.txt", help="of random weights")
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
