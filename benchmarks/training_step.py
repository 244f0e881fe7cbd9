"""Where the time and the memory of a training step go, component by component.

    OMP_NUM_THREADS=2 python benchmarks/training_step.py                                          # nano, two CPU cores
    OMP_NUM_THREADS=2 python benchmarks/training_step.py --size tiny --short 160 --long 256 --batch-size 1 --repeats 1
    python benchmarks/training_step.py --device cuda --size tiny --batch-size 4 --json training.json        # 800 x 1333

Steps of ``student.step`` on drawn scenes, read ahead by loader threads as in a run. Sides: fp32 and bf16, each keeping
what the backward pass needs, or computing blocks again ("checkpointed"), or as FSDP's only process ("fsdp"); by default
bf16 on a GPU and fp32 on a CPU. Medians of some steps after one of warm-up. To time a component every one of them waits
for the device, so "whole step, undisturbed" is of other steps, of the same pictures, which wait once. "Preprocess" is a
batch made by one thread while nothing else runs; in a step it happens beside the model, and "data wait" is what is left
of it. Peak memory is what a step adds to what is held between steps: weights, their average and the moments of the
optimizer. The sides take the same steps, so that those of one precision end with the same loss, but for rounding. nano
has the shipped weights, the others random ones, and its words filled up to the 30,522 entries of BERT's vocabulary. A
side that fails, for want of memory say, is told and left out; --json is written anew after each.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
from component_timing import COMPONENTS, clocked, machine, synchronise, timed_components
from speed_measures import attempt, peak_memory
from training_table import REST, table

from engine.gold import import_gold
from engine.mix import Mix
from glip.config import GLIPConfig
from glip.model_folder import SHIPPED, TOKENIZER_FILE
from schemas.recipes import MixEntry, ScenesSource, TrainRecipe
from student.collate import Batch
from student.data import TrainingData
from student.process_group import ShardedWorkers
from student.session import SIZES, Session, build
from student.step import train_step
from student.workers import Workers

SIDES: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "fp32 checkpointed": {"precision": "fp32", "gradient_checkpointing": True},
    "bf16": {"precision": "bf16"},
    "bf16 checkpointed": {"precision": "bf16", "gradient_checkpointing": True},
    "fp32 fsdp": {"precision": "fp32", "strategy": "fsdp"},
    "bf16 fsdp": {"precision": "bf16", "strategy": "fsdp"},
}
ON_CPU, ON_GPU = ["fp32", "fp32 checkpointed"], ["bf16", "bf16 checkpointed", "bf16 fsdp"]
SCENES = 64


class StepClock:
    """The seconds of each kind of work in a step, and of the model's components in its forward pass."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, work: str) -> Iterator[None]:
        device = self.session.device
        hooks: AbstractContextManager[dict[str, float]] = nullcontext({})
        if work == "forward":  # only then: recomputation in the backward pass would count twice
            hooks = timed_components(self.session.raw, device)
        with hooks as components:
            synchronise(device)
            started = time.perf_counter()
            yield
            synchronise(device)
            self.seconds[work] += time.perf_counter() - started
        for name, seconds in components.items():
            self.seconds[name] += seconds


class TwiceTheSame(TrainingData):
    """Gives every batch to two steps: one that is timed by component, and an undisturbed one."""

    def batch(self, step: int) -> Batch:
        return super().batch(step // 2)


def measure(session: Session, warmup: int, repeats: int) -> dict[str, Any]:
    """The medians of the steps' times, images a second, and memory."""
    device, data = session.device, session.data
    twice = TwiceTheSame(data.mix, session.recipe, session.config, session.tokenizer, rank=data.rank, size=data.size)
    timed: list[dict[str, float]] = []
    undisturbed: list[float] = []
    with closing(twice.batches(0)) as batches:
        for step in range(warmup + repeats):
            seconds = _timed_step(session, batches, step)
            batch = next(batches)
            losses, whole = clocked(partial(train_step, session, batch, step), device)
            if step >= warmup:
                timed.append(seconds)
                undisturbed.append(whole)
        session.optimizer.zero_grad(set_to_none=True)  # so that gradients count as memory of a step
        added = peak_memory(lambda: train_step(session, batch, 0), device)
    rows = {name: median(seconds[name] for seconds in timed) for name in timed[0]}
    rows["whole step, undisturbed"] = median(undisturbed)
    return {
        "seconds": rows,
        "undisturbed_runs": undisturbed,
        "preprocess": median(clocked(partial(data.batch, step), device)[1] for step in range(repeats)),
        "images_per_s": session.recipe.batch_size / rows["whole step, undisturbed"],
        "loss": sum(float(loss) for name, loss in losses.items() if name != "gradient_norm"),
        "gradient_norm": float(losses["gradient_norm"]),
        "held_mib": _held_bytes(session) / 2**20,
        "peak_memory_mib": added,
    }


def _timed_step(session: Session, batches: Iterator[Any], step: int) -> dict[str, float]:
    """Take a step with every component timed."""
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


def _full_vocabulary(file: Path) -> Path:
    """nano's vocabulary filled up to the number of entries of the published models, so that models have their size."""
    words = json.loads((SHIPPED["nano"] / TOKENIZER_FILE).read_text())["model"]["vocab"]
    missing = range(len(words), GLIPConfig.tiny().vocabulary_size)
    file.write_text("\n".join([*sorted(words, key=words.__getitem__), *(f"[unused{number}]" for number in missing)]))
    return file


def _recipe(options: argparse.Namespace, folder: Path, side: str, batch_size: int) -> TrainRecipe:
    return TrainRecipe(
        mix=(MixEntry(dataset=str(folder)),),
        init="nano" if options.size == "nano" else f"random:{options.size}",
        tokenizer=str(options.tokenizer or _full_vocabulary(folder.parent / "vocab.txt")),
        steps=2 * (options.warmup + options.repeats),
        batch_size=batch_size,
        min_sizes=(options.short,),
        max_size=options.long,
        loader_threads=options.loader_threads,
        **SIDES[side],
    )


def main() -> int:
    options = _options()
    torch.set_num_threads(options.threads)
    print(f"machine: {json.dumps(machine())}", flush=True)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "scenes"
        import_gold("scenes", ScenesSource(count=SCENES, seed=1), folder)
        for batch_size in options.batch_size:
            found: dict[str, dict[str, Any]] = {}
            failed: dict[str, str] = {}
            runs.append({"batch_size": batch_size, "sides": found, "failed": failed})
            for side in options.sides or (ON_GPU if options.device == "cuda" else ON_CPU):
                figures = attempt(partial(_measured, _recipe(options, folder, side, batch_size), options), side, failed)
                if figures is not None:
                    found[side] = figures
                if options.json:
                    content = {"machine": machine(), "arguments": sys.argv[1:], "runs": runs}
                    options.json.write_text(json.dumps(content, indent=1))
            sizes = f"short side {options.short}, long side at most {options.long}"
            print(table(f"{options.size}, batch {batch_size}, {sizes}", found), flush=True)
    return 0 if any(run["sides"] for run in runs) else 1


@contextmanager
def _workers(recipe: TrainRecipe, device: torch.device) -> Iterator[Workers]:
    """A context with this process as the only worker; as a group of one if the recipe shards the model."""
    if recipe.strategy != "fsdp":
        yield Workers(device)
        return
    with tempfile.TemporaryDirectory() as folder:
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, init_method=f"file://{folder}/group", rank=0, world_size=1)
        try:
            yield ShardedWorkers(device)
        finally:
            dist.destroy_process_group()


def _measured(recipe: TrainRecipe, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one side."""
    mix = Mix.open(recipe.mix, recipe.seed)
    try:
        with _workers(recipe, torch.device(options.device)) as workers:
            return measure(build(recipe, mix, workers), options.warmup, options.repeats)
    finally:
        mix.close()
        gc.collect()  # frees the memory for the next side


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", choices=SIZES, default="nano")
    parser.add_argument("--sides", nargs="+", choices=SIDES)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[8])
    parser.add_argument("--short", type=int, help="short side of the pictures in pixels; the model's largest")
    parser.add_argument("--long", type=int, help="the long side is at most this; the model's own")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--threads", type=int, help="of PyTorch on the CPU; two, beside a GPU one a core")
    parser.add_argument("--loader-threads", type=int, help="two, beside a GPU one for two cores")
    parser.add_argument("--tokenizer", type=Path, help="of random weights, another vocabulary")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    config = SIZES[options.size]()
    options.short = options.short or max(config.train_min_sizes)
    options.long = options.long or config.train_max_size
    cores = os.cpu_count() or 1
    options.threads = options.threads or (cores if options.device == "cuda" else 2)
    options.loader_threads = options.loader_threads or (max(2, cores // 2) if options.device == "cuda" else 2)
    return options


if __name__ == "__main__":
    sys.exit(main())
