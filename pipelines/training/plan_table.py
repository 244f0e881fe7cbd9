"""A training plan as text.

In: a :class:`~pipelines.training.plan.TrainPlan`. Out: lines of text, each figure with its basis.
"""

from __future__ import annotations

from pipelines.console.number_formats import counted
from pipelines.training.plan import TrainPlan

NAMES = {
    "images_per_second": "rate",
    "gpu_hours": "GPU-hours",
    "states_gib": "states",
    "activations_gib": "activations",
}
UNKNOWN = "unknown"


def plan_text(plan: TrainPlan) -> str:
    """The plan as text: a table of the mix, then a line for each figure."""
    lines = [f"{'dataset':<28} {'samples':>12} {'share':>7} {'times seen':>11}"]
    lines += [
        f"{one.dataset:<28} {_number(one.samples, ','):>12} {one.share:>7.1%} {_number(one.times_seen, '.2f'):>11}"
        for one in plan.datasets
    ]
    figures = {
        "model": f"{plan.model}, {_millions(plan.parameters)} parameters, {_millions(plan.trained_parameters)} trained",
        "steps": f"{plan.steps:,} of {plan.images // plan.steps} images: {plan.images:,} images",
        "epochs": f"{_number(plan.epochs, '.2f')} of the mix",
        "memory": f"{plan.states_gib:.1f} GiB states + {plan.activations_gib:.1f} GiB for "
        f"{counted(plan.images_per_gpu, 'image')} at once, a GPU",
        "rate": UNKNOWN if plan.images_per_second is None else f"{plan.images_per_second:.2f} images/s a GPU",
        "GPU-hours": _amount(plan.gpu_hours),
        "days": UNKNOWN if plan.days is None else f"{_amount(plan.days)} on {counted(plan.gpus, 'GPU')}",
    }
    lines += ["", *(f"{name:<10} {text}" for name, text in figures.items()), "", "rests on:"]
    lines += [f"  {NAMES.get(name, name)}: {text}" for name, text in plan.rests_on.items()]
    return "\n".join([*lines, *(["", *plan.notes] if plan.notes else [])])


def _millions(value: int) -> str:
    return f"{value / 1e6:.1f} M"


def _amount(value: float | None) -> str:
    """A number with three significant digits at least, since a run may take minutes or years."""
    return _number(value, ".3g" if value is not None and value < 100 else ",.0f")


def _number(value: float | None, shape: str) -> str:
    return UNKNOWN if value is None else f"{value:{shape}}"
