"""The deformable convolutions of one dynamic-head layer, by every implementation that runs on this device, in one run.

    python benchmarks/deform_conv.py --threads 2 --backward
    python benchmarks/deform_conv.py --device cuda --batch 8 --backward

The layer is GLIP-T's: 256 channels, five levels of an 800 x 1216 image, each convolved as itself, by its finer and by
its coarser neighbour (13 convolutions). `reference order` samples every column first and multiplies once, as the
published kernel does. The implementations take turns, so that a machine that slows down slows all of them; one that
fails is told and left out. Prints seconds (median and best), the ratio to the reference order and the largest
difference from it, over its largest value: of the forward pass and, with --backward, of both passes together.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial

import torch
from component_timing import clocked, machine
from reference_order import PlainDeformConv
from speed_measures import attempt
from torch import Tensor

from glip.deform_conv import DeformConv
from glip.deform_conv_engine import ENGINES, is_installed, load

CHANNELS = 256
STRIDES = (8, 16, 32, 64, 128)

Convolve = Callable[[Tensor, Tensor, int], Tensor]
Call = tuple[Tensor, Tensor, int]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    weights = DeformConv(CHANNELS).to(options.device)
    calls = layer_calls(options.batch, options.height, options.width, options.device)
    kinds = implementations(weights, options.device)
    print(f"machine: {json.dumps(machine())}, batch {options.batch}, {options.height} x {options.width}")
    for backward in (False, True) if options.backward else (False,):
        seconds = timed(kinds, calls, torch.device(options.device), options.repeats, backward=backward)
        print(f"\n{'forward and backward' if backward else 'forward'}, one layer of the dynamic head")
        _print_table(seconds, _differences({name: kinds[name] for name in seconds}, calls[0]))


def timed(
    kinds: dict[str, Convolve], calls: list[Call], device: torch.device, repeats: int, *, backward: bool
) -> dict[str, list[float]]:
    """The seconds of each repeat, by implementation, without implementations that fail."""
    failed: dict[str, str] = {}
    seconds: dict[str, list[float]] = {}
    for repeat in range(repeats + 1):  # the first warms up
        for name in [name for name in kinds if name not in failed]:
            ran = attempt(partial(clocked, partial(_run, kinds[name], calls, backward), device), name, failed)
            if repeat and ran is not None:
                seconds.setdefault(name, []).append(ran[1])
    return {name: taken for name, taken in seconds.items() if name not in failed}


def layer_calls(batch: int, height: int, width: int, device: str) -> list[Call]:
    """Map, offsets and stride of every convolution of one layer: for each level its own map, the finer, the coarser."""
    sizes = [(-(-height // stride), -(-width // stride)) for stride in STRIDES]
    maps = [torch.randn(batch, CHANNELS, *size, device=device).to(memory_format=torch.channels_last) for size in sizes]
    offsets = [torch.randn(batch, 27, *size, device=device) for size in sizes]
    calls = [(x, offset, 1) for x, offset in zip(maps, offsets, strict=True)]
    calls += [(x, offset, 2) for x, offset in zip(maps[:-1], offsets[1:], strict=True)]
    calls += [(x, offset, 1) for x, offset in zip(maps[1:], offsets[:-1], strict=True)]
    return calls


def implementations(weights: DeformConv, device: str) -> dict[str, Convolve]:
    """The reference order, and every installed engine that loads and has an operator for the device, by name."""

    def in_reference_order(x: Tensor, offset_mask: Tensor, stride: int) -> Tensor:
        plain = PlainDeformConv(weights)
        plain.stride = stride
        return plain.forward(x, offset_mask)

    def by_engine(name: str, dtype: torch.dtype, x: Tensor, offset_mask: Tensor, stride: int) -> Tensor:
        return ENGINES[name](x.to(dtype), offset_mask, weights.weight.to(dtype), weights.bias.to(dtype), stride)

    kinds: dict[str, Convolve] = {"reference order": in_reference_order}
    failed: dict[str, str] = {}
    for name in ENGINES:
        if not is_installed(name) or (name == "triton" and device == "cpu"):
            continue
        attempt(partial(load, name), name, failed)
        if name not in failed:
            kinds[name] = partial(by_engine, name, torch.float32)
    if "triton" in kinds:
        kinds["triton bfloat16"] = partial(by_engine, "triton", torch.bfloat16)
    return kinds


def _run(convolve: Convolve, calls: list[Call], backward: bool) -> None:
    if not backward:
        with torch.inference_mode():
            for call in calls:
                convolve(*call)
        return
    for x, offset_mask, stride in calls:
        leaves = (x.detach().requires_grad_(), offset_mask.detach().requires_grad_())
        out = convolve(*leaves, stride)
        torch.autograd.backward(out, torch.ones_like(out))


@torch.inference_mode()
def _differences(kinds: dict[str, Convolve], call: Call) -> dict[str, float]:
    answers = {name: convolve(*call).float() for name, convolve in kinds.items()}
    reference = answers["reference order"]
    return {name: float((x - reference).abs().max() / reference.abs().max()) for name, x in answers.items()}


def _print_table(seconds: dict[str, list[float]], differences: dict[str, float]) -> None:
    reference = statistics.median(seconds["reference order"])
    print(f"{'implementation':<18}{'median s':>10}{'best s':>10}{'times as fast':>15}{'difference':>12}")
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{name:<18}{median:>10.4f}{min(taken):>10.4f}{reference / median:>15.2f}{differences[name]:>12.1e}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1216)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of a CPU")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--backward", action="store_true", help="time the gradients too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
