"""The sides that the speed benchmark compares, by name: what computes, in what type, how its captions are padded.

    ours             GLIP as the teacher runs it, fp32; captions padded in steps
    bf16             the same under bf16 autocast, as the teacher runs on a GPU
    compiled         the same, bf16, by `teacher.compile: true`
    graphs           the same, bf16, by `teacher.compile: reduce-overhead`
    reference        benchmarks/reference_order.py, fp32, captions padded to the model's longest
    grounding-dino   Grounding DINO of transformers with a backbone of the same size, fp32, random weights

In: a GLIP model with its weights. Out: the sides on a device, each with its FLOPs counted on the CPU.
"""

from __future__ import annotations

import torch
from parity_rules import rule_weight
from reference_order import ground_by_loops, in_reference_order
from speed_grounding_dino import GroundingDino, best_boxes
from speed_measures import count_flops
from speed_workload import Side, Workload
from torch import nn

from glip.compiled import CompiledModel
from glip.config import GLIPConfig
from glip.model import GLIP
from glip.postprocess import ground

OF_OURS = ("ours", "bf16", "compiled", "graphs")
NAMES = (*OF_OURS, "reference", "grounding-dino")
POST_PROCESSORS = {"reference": ground_by_loops, "grounding-dino": best_boxes}


def build_model(config: GLIPConfig) -> GLIP:
    """A model with the parity fixtures' weights, so that there is something to detect."""
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in GLIP(config).state_dict().items()}
    model = GLIP(config).eval()
    model.load_state_dict({key: rule_weight(key, shape) for key, shape in shapes.items()})
    return model


def build_sides(
    names: list[str], model: GLIP, image_hw: tuple[int, int], tokens: list[int], device: torch.device
) -> list[Side]:
    """The sides of these names on the device; all of GLIP share one set of weights."""
    modules = {kind: _module(kind, model) for kind in dict.fromkeys(map(_kind, names))}
    flops: dict[str, dict[int, int]] = {}
    for kind, module in modules.items():
        works = {count: Workload(model.config, image_hw, 1, count, torch.device("cpu")) for count in tokens}
        inputs = {count: work.inputs(padded=kind == "reference") for count, work in works.items()}
        flops[kind] = {count: count_flops(module, inputs[count], by_shapes=kind == "ours") for count in tokens}
    for module in modules.values():
        module.to(device)
    return [_side(name, modules[_kind(name)], flops[_kind(name)]) for name in names]


def _kind(name: str) -> str:
    """What has FLOPs and weights of its own."""
    return "ours" if name in OF_OURS else name


def _module(kind: str, model: GLIP) -> nn.Module:
    if kind == "reference":
        return in_reference_order(model)
    return GroundingDino(model.config.name) if kind == "grounding-dino" else model


def _side(name: str, module: nn.Module, flops: dict[int, int]) -> Side:
    is_compiled = name in ("compiled", "graphs")
    forward = CompiledModel(module, "reduce-overhead" if name == "graphs" else "default") if is_compiled else module
    return Side(
        name=name,
        model=forward,
        hooked=module if isinstance(module, GLIP) and not is_compiled else None,
        post_process=POST_PROCESSORS.get(name, ground),
        padded=name == "reference",
        bf16=name in OF_OURS and name != "ours",
        flops=flops,
    )
