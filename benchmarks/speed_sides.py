"""The sides of the speed benchmark, by name: implementation, precision, and padding of captions.

    ours                 GLIP as the teacher runs it, fp32; captions padded in steps
    bf16                 the same under bf16 autocast, as the teacher runs on a GPU
    compiled             the same, bf16, by `teacher.compile: true`
    graphs               the same, bf16, by `teacher.compile: reduce-overhead`
    reference            benchmarks/reference_order.py, fp32, captions padded to the model's longest
    grounding-dino       Grounding DINO of transformers with a backbone of the same size, fp32, random weights
    grounding-dino-bf16  the same under bf16 autocast

fp32 is PyTorch's: on a GPU its convolutions may round to TF32, as `component_timing.machine` tells.
In: a GLIP model with its weights. Out: the sides on a device, each with its FLOPs counted on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from reference_order import ground_by_loops, in_reference_order
from speed_grounding_dino import GroundingDino, best_boxes
from speed_measures import attempt, count_flops
from speed_workload import Side, Workload
from torch import nn

from glip.compiled import CompiledModel, CompileMode
from glip.model import GLIP
from glip.postprocess import ground

OF_OURS = ("ours", "bf16", "compiled", "graphs")
OF_GROUNDING_DINO = ("grounding-dino", "grounding-dino-bf16")
IN_BF16 = ("bf16", "compiled", "graphs", "grounding-dino-bf16")
NAMES = (*OF_OURS, "reference", *OF_GROUNDING_DINO)
COMPILED: dict[str, CompileMode] = {"compiled": "default", "graphs": "reduce-overhead"}
POST_PROCESSORS = {"reference": ground_by_loops, "grounding-dino": best_boxes}


def build_sides(
    names: list[str],
    model: GLIP,
    image_hw: tuple[int, int],
    tokens: list[int],
    device: torch.device,
    failed: dict[str, str],
) -> list[Side]:
    """The sides with these names on the device; all of GLIP share one set of weights. ``failed`` gets the reason for
    each side that is left out."""
    works = {count: Workload(model.config, image_hw, 1, count, torch.device("cpu")) for count in tokens}
    kinds = dict.fromkeys(map(_kind, names))
    built = {kind: attempt(partial(_counted, kind, model, works), kind, failed) for kind in kinds}
    found = {kind: one for kind, one in built.items() if one is not None}
    for module, _ in found.values():
        module.to(device)
    return [_side(name, *found[_kind(name)]) for name in names if _kind(name) in found]


def _counted(kind: str, model: GLIP, works: dict[int, Workload]) -> tuple[nn.Module, dict[int, int]]:
    """The module of a kind, and its FLOPs by the length of the caption."""
    module, padded = _module(kind, model), kind == "reference"
    inputs = {count: work.inputs(padded=padded) for count, work in works.items()}
    return module, {count: count_flops(module, one, by_shapes=kind == "ours") for count, one in inputs.items()}


def _kind(name: str) -> str:
    """The kind of a side; sides of one kind share weights and FLOPs."""
    if name in OF_OURS:
        return "ours"
    return "grounding-dino" if name in OF_GROUNDING_DINO else name


def _module(kind: str, model: GLIP) -> nn.Module:
    if kind == "reference":
        return in_reference_order(model)
    return GroundingDino(model.config.name) if kind == "grounding-dino" else model


def _side(name: str, module: nn.Module, flops: dict[int, int]) -> Side:
    glip = module if isinstance(module, GLIP) else None
    forward: Callable[..., Any] = module
    if glip is not None and name in COMPILED:
        forward, glip = CompiledModel(glip, COMPILED[name]), None
    return Side(
        name=name,
        model=forward,
        glip=name not in OF_GROUNDING_DINO,
        hooked=glip,
        post_process=POST_PROCESSORS.get(_kind(name), ground),
        padded=name == "reference",
        bf16=name in IN_BF16,
        flops=flops,
    )
