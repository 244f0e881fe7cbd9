"""The memory of a training step on one GPU, computed without a GPU and without weights.

In: a model's sizes, the size of the pictures, precision and gradient checkpointing. Out: bytes. What the backward pass
needs is counted by a forward pass with tensors that have shapes but no contents (PyTorch's fake tensors). Not included:
the text tower, which is small beside the rest, workspaces, and fragmentation of the allocator.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from glip.config import GLIPConfig
from glip.model import GLIP
from schemas.recipes import TrainRecipe
from student.memory import blocks_of
from student.objectives import objective_heads
from student.tuning import prepare

# Bytes, four each: of every parameter weight and average; of a trained one also gradient and AdamW's two moments.
HELD_BYTES, TRAINED_BYTES = 4 * 2, 4 * 3


@dataclass
class _Saved:
    """The storages kept for the backward pass, by the block that keeps them (None: outside of all blocks)."""

    by_block: dict[nn.Module | None, dict[int, int]] = field(default_factory=dict)
    inputs: dict[int, int] = field(default_factory=dict)
    alive: list[Tensor] = field(default_factory=list)
    current: nn.Module | None = None

    def keep(self, tensor: Tensor) -> Tensor:
        self._note(self.by_block.setdefault(self.current, {}), tensor)
        return tensor

    def enter(self, block: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.current = block
        for value in inputs:
            for tensor in value if isinstance(value, list) else [value]:
                if isinstance(tensor, Tensor):
                    self._note(self.inputs, tensor)

    def leave(self, block: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.current = None

    def _note(self, place: dict[int, int], tensor: Tensor) -> None:
        self.alive.append(tensor)  # so that no other storage gets its id
        place[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()


def parameter_counts(config: GLIPConfig, recipe: TrainRecipe) -> tuple[int, int]:
    """The number of parameters of a model with these sizes, including those that the recipe's mode and objectives add;
    and how many of them are trained."""
    with torch.device("meta"):
        model = GLIP(config)
        prepare(model, recipe)
        parts = [model, *(head for head in objective_heads(recipe, config) if head is not None)]
        sizes = [(parameter.numel(), parameter.requires_grad) for part in parts for parameter in part.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, is_trained in sizes if is_trained)


def activation_bytes(config: GLIPConfig, size_hw: tuple[int, int], *, bf16: bool, recompute: bool) -> int:
    """The bytes that one picture of ``size_hw`` pixels (multiples of 32) with a full prompt keeps for its backward
    pass.

    ``recompute``: blocks keep only their inputs, plus the activations of the largest one, while it is computed again.
    """
    saved, parameters = _forward(config, size_hw, bf16)
    every = {key: size for one in saved.by_block.values() for key, size in one.items()}
    if recompute:
        largest = max(sum(one.values()) for block, one in saved.by_block.items() if block is not None)
        kept = saved.by_block.get(None, {}) | saved.inputs
        return largest + sum(size for key, size in kept.items() if key not in parameters)
    return sum(size for key, size in every.items() if key not in parameters)


def _forward(config: GLIPConfig, size_hw: tuple[int, int], bf16: bool) -> tuple[_Saved, set[int]]:
    saved = _Saved()
    with torch.device("meta"):
        model = GLIP(config).train()
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        model.to_empty(device="cpu")
        for block in blocks_of(model):
            block.register_forward_pre_hook(saved.enter)
            block.register_forward_hook(saved.leave)
        stack.enter_context(torch.autocast("cpu", torch.bfloat16, enabled=bf16))
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(saved.keep, lambda tensor: tensor))
        tokens = torch.zeros(1, config.max_tokens, dtype=torch.long)
        text_BTD = torch.zeros(1, config.max_tokens, config.text_width, requires_grad=True)
        model(torch.zeros(1, 3, *size_hw), tokens, tokens == 0, text_BTD)
    return saved, {parameter.untyped_storage()._cdata for parameter in model.parameters()}
