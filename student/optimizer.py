"""AdamW with GLIP's parameter groups, its schedules as pure functions of the step, and the average of the weights.

Groups by SPEC section 11: the text encoder has its own rate; biases learn twice as fast and do not decay.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from schemas.recipes import OptimizerRecipe, TrainRecipe

TEXT_ENCODER = "language_backbone.body"
BIAS_LR_FACTOR = 2.0
WARMUP_START = 0.001
FINAL_SHARE = 0.01


def build_optimizer(model: nn.Module, recipe: OptimizerRecipe) -> torch.optim.AdamW:
    """AdamW over the parameters that require a gradient. Each group has its full rate as ``base_lr``."""
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((TEXT_ENCODER in name, "bias" in name), []).append(parameter)
    return torch.optim.AdamW(
        [_group(parameters, *kind, recipe) for kind, parameters in sorted(groups.items())], fused=True
    )


def _group(parameters: list[Tensor], is_text: bool, is_bias: bool, recipe: OptimizerRecipe) -> dict[str, object]:
    rate = recipe.lr * (recipe.text_lr_factor if is_text else 1.0) * (BIAS_LR_FACTOR if is_bias else 1.0)
    return {"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": 0.0 if is_bias else recipe.weight_decay}


def rate_factor(step: int, steps: int, recipe: OptimizerRecipe) -> float:
    """The factor of all learning rates at ``step`` (from 0) of ``steps``: warm-up times schedule."""
    warmup = 1.0
    if step < recipe.warmup_steps:
        warmup = WARMUP_START + (1 - WARMUP_START) * step / recipe.warmup_steps
    if recipe.schedule == "cosine":
        share = min(1.0, step / steps)
        return warmup * (FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * share)))
    return warmup * float(0.1 ** sum(step >= milestone * steps for milestone in recipe.milestones))


def short_of_full_rate(recipe: TrainRecipe) -> list[str]:
    """A warning in one line if the run ends, or a milestone cuts the rates, before the warm-up is over; else none."""
    optimizer, steps = recipe.optimizer, recipe.steps
    first_cut = min(optimizer.milestones, default=1.0) if optimizer.schedule == "step" else 1.0
    if optimizer.warmup_steps <= first_cut * steps:
        return []
    highest = max(rate_factor(step, steps, optimizer) for step in range(steps))
    ends = "the run ends" if first_cut == 1 else "the full rate ends, by a milestone,"
    return [
        f"optimizer.warmup_steps: {ends} at step {math.ceil(first_cut * steps)}, before the warm-up does "
        f"at step {optimizer.warmup_steps}; the learning rate reaches {highest:.1%} of lr at most"
    ]


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give every group its full rate times ``factor``."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


class WeightAverage:
    """The exponential moving average of a model's parameters, which is saved as the trained model.

    The decay rises with the step, (1 + step) / (10 + step), until it reaches its final value, so that the random
    start is soon forgotten. Buffers are not averaged.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [value.detach() for value in model.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), current, 1 - decay)

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor]) -> None:
        """Set the average to that of a checkpoint."""
        for name, value in self.weights.items():
            value.copy_(weights[name])
