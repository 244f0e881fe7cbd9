"""The state of a run as one dictionary of whole tensors, gathered from its workers and restored to them.

In: model, average and optimiser, as the workers hold them. Out: a state that does not depend on the number of workers
or on how they share the weights, so that a run with other workers resumes from it.
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
    """The state of ``model``, ``average`` and ``optimizer``, with whole tensors. All workers must call it together."""

    def whole(value: Tensor) -> Tensor:
        gathered = workers.whole(value)
        # Gathered tensors go to the CPU: together they are four times the model, and the device is to hold a share.
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
    """Load a gathered state into a run, on its devices. RuntimeError or KeyError where it is of another model."""
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
    """The same nested dictionaries and lists, with ``change`` applied to each tensor."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _with_tensors(value, change) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_tensors(value, change) for value in tree]
    return tree
