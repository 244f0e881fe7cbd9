"""What a GLIP image costs, component by component, beside the reference's order of products in the same run.

    OMP_NUM_THREADS=2 python benchmarks/teacher_speed.py --size tiny --batch 1 4 --tokens 16 256
    python benchmarks/teacher_speed.py --size large --device cuda --dtype bf16 --compile --image 800x1344 \\
        --batch 1 8 32 --sides ours eager --stream 50 --peak-tflops 989

Sides: `ours` (with --dtype and --compile; captions padded as the teacher pads them), `eager` (ours in fp32, not
compiled), `reference` (benchmarks/reference_order.py, fp32, captions padded to the model's longest). All have the
same weights, made by the rule of the parity fixtures, so that there is something to detect. The sides take turns, the
figures are medians, and ratios are those of one run. Peak memory is what a batch adds to the weights. FLOPs are those
of matrix products and convolutions, counted on the CPU. Prints a table per batch size and caption; --json keeps it all.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from component_timing import COMPONENTS, clocked, timed_components
from parity_rules import rule_weight
from reference_order import ground_by_loops, in_reference_order
from speed_measures import count_flops, peak_memory, stream
from speed_workload import Side, Workload
from torch import nn

from glip.config import GLIPConfig
from glip.model import GLIP
from glip.postprocess import ground

SIZES = {"nano": GLIPConfig.nano, "tiny": GLIPConfig.tiny, "large": GLIPConfig.large}
ROWS = ("decode", "preprocess", *COMPONENTS, "rest of the model", "post-processing", "whole image")


def main() -> int:
    options = _options()
    torch.set_num_threads(options.threads)
    model = build_model(SIZES[options.size]())
    sides = build_sides(model, options)
    results = []
    for batch in options.batch:
        for tokens in options.tokens:
            work = Workload(model.config, options.image, batch, tokens, torch.device(options.device))
            result = measure(work, sides, options)
            results.append(result)
            print(table(result), flush=True)
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine(), "arguments": sys.argv[1:], "runs": results}, indent=1)
        )
    return 0


def build_model(config: GLIPConfig) -> GLIP:
    """A model with the fixtures' weights."""
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in GLIP(config).state_dict().items()}
    model = GLIP(config).eval()
    model.load_state_dict({key: rule_weight(key, shape) for key, shape in shapes.items()})
    return model


def build_sides(model: GLIP, options: argparse.Namespace) -> list[Side]:
    """The sides that were asked for, on the device. FLOPs are counted before, while the model is on the CPU."""
    flops = {}
    for name in options.sides:
        counted = in_reference_order(model) if name == "reference" else model
        for tokens in options.tokens:
            work = Workload(model.config, options.image, 1, tokens, torch.device("cpu"))
            flops[name, tokens] = count_flops(counted, work.inputs(padded=name == "reference"))
    model.to(options.device)
    sides = []
    for name in options.sides:
        forward: nn.Module = in_reference_order(model) if name == "reference" else model
        if name == "ours" and options.compile:
            forward = torch.compile(model, dynamic=False)
        sides.append(
            Side(
                name=name,
                model=forward,
                hooked=None if name == "ours" and options.compile else forward,
                post_process=ground_by_loops if name == "reference" else ground,
                padded=name == "reference",
                bf16=name == "ours" and options.dtype == "bf16",
                flops={tokens: flops[name, tokens] for tokens in options.tokens},
            )
        )
    return sides


@torch.inference_mode()
def measure(work: Workload, sides: list[Side], options: argparse.Namespace) -> dict[str, Any]:
    """Medians of every component of every side, in seconds an image, and what goes with them."""
    rounds: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
    boxes = {}
    for number in range(options.warmup + options.repeats):
        for side in sides:
            seconds, boxes[side.name] = one_pass(work, side)
            if number >= options.warmup:
                rounds[side.name].append(seconds)
    result: dict[str, Any] = {"batch": work.batch, "tokens": work.tokens, "image": work.image_hw, "sides": {}}
    for side in sides:
        runs = rounds[side.name]
        medians = {row: statistics.median(run[row] for run in runs) / work.batch for row in runs[0]}
        memory = peak_memory(lambda side=side: one_pass(work, side, components=False), work.device)  # type: ignore[misc]
        result["sides"][side.name] = {
            "seconds_per_image": medians,
            "whole_image_runs": [run["whole image"] / work.batch for run in runs],
            "images_per_s": 1 / medians["whole image"],
            "peak_memory_mib_per_batch": memory,
            "tflop_per_image": side.flops[work.tokens] / 1e12,
            "tflop_per_s": side.flops[work.tokens] / 1e12 / medians["model"],
            "boxes": boxes[side.name],
        }
        if options.peak_tflops:
            share = side.flops[work.tokens] / 1e12 / medians["model"] / options.peak_tflops
            result["sides"][side.name]["share_of_peak"] = share
        if options.stream:
            step = _step(work, side)
            result["sides"][side.name]["stream"] = stream(work, step, options.stream, options.decode_threads)
    return result


def one_pass(work: Workload, side: Side, *, components: bool = True) -> tuple[dict[str, float], int]:
    """One batch from JPEG to boxes: seconds of each part, and the number of boxes."""
    device = work.device
    pictures, decode = clocked(work.decode, device)
    images, preprocess = clocked(lambda: work.preprocess(pictures), device)
    inputs = work.inputs(images, padded=side.padded)
    seconds = {}
    if components and side.hooked is not None:
        with timed_components(side.hooked, device) as seconds:
            output, model = clocked(lambda: side(inputs), device)
        nested = seconds["deformable convolution"]
        seconds["rest of the model"] = model - (sum(seconds.values()) - nested)
    else:
        output, model = clocked(lambda: side(inputs), device)
    found, post = clocked(lambda: work.post_process(side, output), device)
    whole = decode + preprocess + model + post
    seconds |= {"decode": decode, "preprocess": preprocess, "model": model, "post-processing": post}
    return seconds | {"whole image": whole}, sum(len(boxes.scores_K) for boxes in found)


def _step(work: Workload, side: Side) -> Callable[[torch.Tensor], Any]:
    return lambda images: work.post_process(side, side(work.inputs(images, padded=side.padded)))


def table(result: dict[str, Any]) -> str:
    """Markdown: a row per component, a column per side, and the ratio of the first side to the last."""
    sides = result["sides"]
    names, last = list(sides), list(sides)[-1]
    height, width = result["image"]
    lines = [f"\n### {height} x {width}, batch {result['batch']}, caption of {result['tokens']} tokens\n"]
    lines += ["| seconds an image | " + " | ".join(names) + " | ratio |", "| --- |" + " --- |" * (len(names) + 1)]
    for row in ROWS:
        cells = [sides[name]["seconds_per_image"].get(row) for name in names]
        if any(cell is not None for cell in cells):
            ratio = f"{cells[-1] / cells[0]:.2f}" if cells[0] and cells[-1] and len(cells) > 1 else ""
            label = f"… of which {row}" if row == "deformable convolution" else row
            lines.append(f"| {label} | " + " | ".join("" if c is None else f"{c:.3f}" for c in cells) + f" | {ratio} |")
    for key, label, digits in (
        ("peak_memory_mib_per_batch", "peak memory of the batch beside the weights, MiB", 0),
        ("tflop_per_image", "TFLOP an image", 3),
        ("tflop_per_s", "TFLOP/s of the model", 3),
        ("share_of_peak", "share of the peak", 3),
    ):
        if key in sides[last]:
            cells = [sides[name][key] for name in names]
            lines.append(f"| {label} | " + " | ".join("?" if c is None else f"{c:.{digits}f}" for c in cells) + " | |")
    for name in names:
        if "stream" in sides[name]:
            lines.append(f"\nStream, {name}: {json.dumps(sides[name]['stream'])}")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "cpu": platform.processor(), "gpu": gpu}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--sides", nargs="+", choices=("ours", "eager", "reference"), default=["ours", "reference"])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32", help="of ours; the other sides are fp32")
    parser.add_argument("--compile", action="store_true", help="torch.compile ours; then it has no times per component")
    parser.add_argument("--image", type=_size, default=(800, 1216), help="HxW, multiples of 32")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 256], help="tokens of the caption")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch on the CPU")
    parser.add_argument("--stream", type=int, default=0, help="batches to run end to end, decoded ahead on threads")
    parser.add_argument("--decode-threads", type=int, default=2)
    parser.add_argument("--peak-tflops", type=float, help="of the device in this dtype, for the share reached")
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args()


def _size(text: str) -> tuple[int, int]:
    height, width = (int(side) for side in text.lower().split("x"))
    return height, width


if __name__ == "__main__":
    sys.exit(main())
