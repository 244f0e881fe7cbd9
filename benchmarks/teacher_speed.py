"""What a GLIP image costs, component by component, beside other ways to compute it, in one run.

    OMP_NUM_THREADS=2 python benchmarks/teacher_speed.py --batch 1 4 --tokens 16 256
    python benchmarks/teacher_speed.py --device cuda --size tiny --peak-tflops 989 --json tiny.json
    python benchmarks/teacher_speed.py --device cuda --size large --peak-tflops 989 --json large.json

On a GPU the defaults are the whole sweep: fp32, bf16, compiled, compiled with CUDA graphs, and Grounding DINO in fp32
and bf16; see benchmarks/speed_sides.py for what the sides are. All of GLIP have the same weights, made by the rule of
the parity fixtures. The sides take turns, the figures are medians, and ratios are those of one run. On a GPU components
are timed in a forward pass of their own, since each waits for the device: they add up to more than the whole model,
which no side is disturbed in. Peak memory is what a batch adds to the weights. FLOPs are those of matrix products,
attention and convolutions, counted on the CPU; with `--peak-tflops`, the card's in bf16, it is told first what share of
it the images a second of `--aim` need, and of each side in bf16 the share it reached. A side that fails, for want of
memory say, is left out of its table. Prints what each batch took, and a table per size, batch and caption; --json keeps
all figures, written anew after each table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from component_timing import clocked, machine, timed_components
from parity_rules import rule_model
from speed_measures import attempt, found_again, peak_memory, stream
from speed_sides import NAMES, build_sides
from speed_table import table
from speed_workload import Inputs, Side, Workload

from glip.config import GLIPConfig
from glip.model import GLIP
from glip.postprocess import PhraseBoxes
from teacher.worker import DECODE_THREADS_OF_A_GPU

SIZES = {"nano": GLIPConfig.nano, "tiny": GLIPConfig.tiny, "large": GLIPConfig.large}
ON_CPU = {
    "sides": ["ours", "reference"],
    "image": (800, 1216),
    "batch": [1],
    "tokens": [16, 256],
    "stream": 0.0,
    "decode_threads": 2,
    "warmup": 1,
    "threads": 2,
}
ON_GPU = {
    "sides": ["ours", "bf16", "compiled", "graphs", "grounding-dino", "grounding-dino-bf16"],
    "image": (800, 1344),
    "batch": [1, 8, 32],
    "tokens": [16],
    "stream": 5.0,
    "decode_threads": DECODE_THREADS_OF_A_GPU,
    "warmup": 3,  # a CUDA graph is captured at the second batch of a shape
    "threads": os.cpu_count(),
}
AIMS = {"tiny": 100.0, "large": 25.0}  # images/s on an H200


def main() -> int:
    options = _options()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    model = rule_model(SIZES[options.size]())  # so that there is something to detect
    unbuilt: dict[str, str] = {}
    sides = build_sides(options.sides, model, options.image, options.tokens, device, unbuilt)
    if options.peak_tflops:
        print(needed(sides, options), flush=True)
    if not options.repeats:
        return 0
    results = []
    for batch in options.batch:
        for tokens in options.tokens:
            result = measure(Workload(model.config, options.image, batch, tokens, device), sides, options)
            results.append({**result, "failed": unbuilt | result["failed"]})
            print(table(results[-1]), flush=True)
            if options.json:
                content = {"machine": machine(), "arguments": sys.argv[1:], "runs": results}
                options.json.write_text(json.dumps(content, indent=1))
    return 0


def needed(sides: list[Side], options: argparse.Namespace) -> str:
    """The share of the card's FLOPs that `--aim` needs, for each side."""
    aim, peak = options.aim or AIMS.get(options.size, 0.0), options.peak_tflops
    flops: dict[tuple[int, int], str] = {}
    for side in sides:
        for counted in side.flops.items():
            flops.setdefault(counted, side.name)
    lines = [
        f"{options.size}, {name}, {tokens} tokens: {count / 1e12:.3f} TFLOP an image; {aim:g} images/s need "
        f"{aim * count / 1e12:.1f} TFLOP/s, {aim * count / 1e12 / peak:.1%} of {peak:g}"
        for (tokens, count), name in flops.items()
    ]
    return "\n".join(lines)


@torch.inference_mode()
def measure(work: Workload, sides: list[Side], options: argparse.Namespace) -> dict[str, Any]:
    """The figures of every side that does not fail: medians of each component in seconds an image, and the others."""
    failed: dict[str, str] = {}
    rounds, found = timed_rounds(work, sides, options, failed)
    figures: dict[str, dict[str, Any]] = {}
    for side in [side for side in sides if side.name not in failed]:
        told = attempt(partial(side_figures, work, side, rounds[side.name], options), side.name, failed)
        if told is not None:
            figures[side.name] = told
    sides = [side for side in sides if side.name in figures]
    for side in sides:
        boxes = found[side.name]
        figures[side.name]["boxes"] = sum(len(one.scores_K) for one in boxes)
        if side.glip:
            figures[side.name]["boxes_found_again"] = found_again(found[sides[0].name], boxes)
    result = {"model": work.config.name, "batch": work.batch, "tokens": work.tokens, "image": work.image_hw}
    return {**result, "sides": figures, "failed": failed}


def timed_rounds(
    work: Workload, sides: list[Side], options: argparse.Namespace, failed: dict[str, str]
) -> tuple[dict[str, list[dict[str, float]]], dict[str, list[PhraseBoxes]]]:
    """The seconds of each part of a batch in each round after the warm-up, and the boxes, by side that does not fail.

    The time of each batch is printed at once: the first one of a compiled side takes minutes, and may be stopped.
    """
    rounds: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
    found: dict[str, list[PhraseBoxes]] = {}
    for number in range(options.warmup + options.repeats):
        print(f"\nbatch {work.batch}, {work.tokens} tokens, round {number + 1}, seconds a batch:", end="", flush=True)
        for side in [side for side in sides if side.name not in failed]:
            passed = attempt(partial(one_pass, work, side, components=number >= options.warmup), side.name, failed)
            if passed is None:
                continue
            print(f" {side.name} {passed[0]['whole image']:.3f}", end="", flush=True)
            if number >= options.warmup:
                rounds[side.name].append(passed[0])
                found[side.name] = passed[1]
    print(flush=True)
    return rounds, found


def side_figures(
    work: Workload, side: Side, runs: list[dict[str, float]], options: argparse.Namespace
) -> dict[str, Any]:
    """The figures of one side: medians of its runs, memory, FLOPs, and the stream if it is wanted."""
    medians = {row: statistics.median(run[row] for run in runs) / work.batch for row in runs[0]}
    tflop = side.flops[work.tokens] / 1e12
    figures: dict[str, Any] = {
        "seconds_per_image": medians,
        "whole_image_runs": [run["whole image"] / work.batch for run in runs],
        "images_per_s": 1 / medians["whole image"],
        "tflop_per_image": tflop,
        "tflop_per_s": tflop / medians["model"],
    }
    if side.name != "graphs":  # they keep their memory between batches
        memory = peak_memory(lambda: one_pass(work, side, components=False), work.device)
        figures["peak_memory_mib"] = memory
        figures["peak_memory_mib_per_image"] = None if memory is None else memory / work.batch
    if options.peak_tflops and side.bf16:
        figures["share_of_peak"] = figures["tflop_per_s"] / options.peak_tflops
    if options.stream:
        figures["stream"] = stream(work, _step(work, side), options.stream, options.decode_threads)
    return figures


def one_pass(work: Workload, side: Side, *, components: bool = True) -> tuple[dict[str, float], list[PhraseBoxes]]:
    """Run one batch from JPEG to boxes: the seconds of each part, and the boxes."""
    device = work.device
    pictures, decode = clocked(work.decode, device)
    images, preprocess = clocked(lambda: work.preprocess(pictures), device)
    inputs = work.inputs(images, padded=side.padded)
    seconds: dict[str, float] = {}
    if components and side.hooked is not None:
        output, seconds = forward_by_components(side, side.hooked, inputs, device)
    if "model" not in seconds or device.type == "cuda":  # where a pass with hooks takes longer
        output, seconds["model"] = clocked(lambda: side(inputs), device)
    found, post = clocked(lambda: work.post_process(side, output), device)
    seconds |= {"decode": decode, "preprocess": preprocess, "post-processing": post}
    return seconds | {"whole image": decode + preprocess + seconds["model"] + post}, found


def forward_by_components(
    side: Side, hooked: GLIP, inputs: Inputs, device: torch.device
) -> tuple[Any, dict[str, float]]:
    """The output of the model, and the seconds of each component, of the rest and of the whole."""
    with timed_components(hooked, device) as seconds:
        output, model = clocked(lambda: side(inputs), device)
    rest = model - (sum(seconds.values()) - seconds["deformable convolution"])  # it is part of another component
    return output, seconds | {"rest of the model": rest, "model": model}


def _step(work: Workload, side: Side) -> Callable[[torch.Tensor], Any]:
    return lambda images: work.post_process(side, side(work.inputs(images, padded=side.padded)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--sides", nargs="+", choices=NAMES)
    parser.add_argument("--image", type=parse_size, help="HxW, multiples of 32")
    parser.add_argument("--batch", type=int, nargs="+")
    parser.add_argument("--tokens", type=int, nargs="+", help="tokens of the caption")
    parser.add_argument("--repeats", type=int, default=5, help="0: nothing is run, only FLOPs are told")
    parser.add_argument("--warmup", type=int)
    parser.add_argument("--threads", type=int, help="of PyTorch on the CPU")
    parser.add_argument("--stream", type=float, help="seconds to run batches end to end, decoded ahead on threads")
    parser.add_argument("--decode-threads", type=int, help="as many as the labelling job has, if not said")
    parser.add_argument("--peak-tflops", type=float, help="of the card in bf16, for the share that is reached")
    parser.add_argument("--aim", type=float, help="images/s that are wanted; 100 of tiny, 25 of large")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    for name, value in (ON_GPU if options.device == "cuda" else ON_CPU).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def parse_size(text: str) -> tuple[int, int]:
    height, width = (int(side) for side in text.lower().split("x"))
    return height, width


if __name__ == "__main__":
    sys.exit(main())
