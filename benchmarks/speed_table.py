"""The speed benchmark's figures as Markdown: a row per component, a column per side.

In: the result of `teacher_speed.measure`. Out: text.
"""

from __future__ import annotations

import json
from typing import Any

from component_timing import COMPONENTS

ROWS = ("decode", "preprocess", *COMPONENTS, "rest of the model", "model", "post-processing", "whole image")
LABELS = {"deformable convolution": "… of which deformable convolution", "model": "whole model"}
FIGURES = (
    ("images_per_s", "images/s, one batch after the other", 2),
    ("peak_memory_mib", "peak memory of a batch beside the weights, MiB", 0),
    ("peak_memory_mib_per_image", "the same an image, MiB", 0),
    ("tflop_per_image", "TFLOP an image", 3),
    ("tflop_per_s", "TFLOP/s of the model", 3),
    ("share_of_peak", "share of the card's peak", 3),
    ("boxes_found_again", "share of the first side's boxes that it has too", 4),
)


def table(result: dict[str, Any]) -> str:
    """The table of one run, with the ratio of the last side to the first, and which sides failed."""
    sides = result["sides"]
    names = list(sides)
    height, width = result["image"]
    lines = [f"\n#### {result['model']}, {height} x {width}, batch {result['batch']}, {result['tokens']} tokens\n"]
    lines += [f"| seconds an image | {' | '.join(names)} | last / first |", "| --- |" + " --- |" * (len(names) + 1)]
    for row in ROWS:
        cells = [sides[name]["seconds_per_image"].get(row) for name in names]
        if any(cell is not None for cell in cells):
            ratio = f"{cells[-1] / cells[0]:.2f}" if cells[0] and cells[-1] and len(cells) > 1 else ""
            lines.append(f"| {LABELS.get(row, row)} | {_cells(cells, 3)} | {ratio} |")
    for key, label, digits in FIGURES:
        cells = [sides[name].get(key) for name in names]
        if any(cell is not None for cell in cells):
            lines.append(f"| {label} | {_cells(cells, digits)} | |")
    lines += [f"\nStream, {name}: {json.dumps(sides[name]['stream'])}" for name in names if "stream" in sides[name]]
    lines += [f"\nLeft out, {name}: {why}" for name, why in result["failed"].items()]
    return "\n".join(lines)


def _cells(values: list[float | None], digits: int) -> str:
    return " | ".join("" if value is None else f"{value:.{digits}f}" for value in values)
