"""A run as one dictionary of whole tensors, and a run taken up from one.

In: model, average and optimiser, as the workers hold them. Out: a state that knows neither the number of workers nor
how they share the weights, so that any other run of the recipe goes on from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from student.optimizer import WeightAverage
from student.workers import Workers


def gather_state(
    model: nn.Module, average: WeightAverage, optimizer: torch.optim.Optimizer, workers: Workers
) -> dict[str, Any]:
    """``model``, ``average`` and ``optimizer`` with whole tensors. All workers call it together."""

    def whole(value: Tensor) -> Tensor:
        gathered = workers.whole(value)
        # What is put together for this alone does not pile up on the device: four times the model, of which it was to
        # hold a share.
        return gathered if gathered is value else gathered.cpu()

    return {
        "model": {name: whole(value) for name, value in model.state_dict().items()},
        "average": {name: whole(value) for name, value in average.weights.items()},
        "optimizer": _with_tensors(optimizer.state_dict(), whole),
    }


def restore_state(
    state: dict[str, Any],
    model: nn.Module,
    average: WeightAverage,
    optimizer: torch.optim.Optimizer,
    workers: Workers,
) -> None:
    """Put a gathered state into a run of the same model, on the devices of the run."""
    held = model.state_dict()
    model.load_state_dict({name: workers.part_of(value, held[name]) for name, value in state["model"].items()})
    average.load({name: workers.part_of(value, average.weights[name]) for name, value in state["average"].items()})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        number: {
            name: workers.part_of(value, parameters[number]) if value.ndim else value for name, value in one.items()
        }
        for number, one in state["optimizer"]["state"].items()
    }
    optimizer.load_state_dict(state["optimizer"] | {"state": moments})


def _with_tensors(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same nested dictionaries and lists, each tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _with_tensors(value, change) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_tensors(value, change) for value in tree]
    return tree
