"""The figures of a training step as Markdown: a row per component, a column per side.

In: the result of ``training_step.measure`` for each side. Out: text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from component_timing import COMPONENTS

from student.step import WORK

FORWARD = WORK.index("forward") + 1
REST = "rest of the forward pass"
ROWS = ("data wait", *WORK[:FORWARD], *COMPONENTS, REST, *WORK[FORWARD:], "whole step", "whole step, undisturbed")
INSIDE = {**{name: f"… {name}" for name in (*COMPONENTS, REST)}, "deformable convolution": "… … deformable convolution"}
FIGURES = (
    ("preprocess", "preprocess of a batch, one thread", 3),
    ("images_per_s", "images/s, undisturbed", 2),
    ("loss", "loss of the last step", 4),
    ("gradient_norm", "norm of its gradient", 3),
    ("held_mib", "held between steps, MiB", 0),
    ("peak_memory_mib", "what a step adds at its peak, MiB", 0),
)


def table(title: str, sides: Mapping[str, dict[str, Any]]) -> str:
    """The table of one run."""
    lines = [f"\n#### {title}\n", f"| seconds a step | {' | '.join(sides)} |", "| --- |" + " --- |" * len(sides)]
    for row in ROWS:
        cells = " | ".join(f"{side['seconds'].get(row, 0.0):.3f}" for side in sides.values())
        lines.append(f"| {INSIDE.get(row, row)} | {cells} |")
    for key, label, digits in FIGURES:
        values = [side[key] for side in sides.values()]
        cells = " | ".join("" if value is None else f"{value:.{digits}f}" for value in values)
        lines.append(f"| {label} | {cells} |")
    return "\n".join(lines)
