"""The tables of ``self_training.py``: Recall@1 by group of phrases, and differences with their intervals.

In: the cells of all seeds. Out: plain values for ``results.json``, and the same in print. Intervals are of a paired
bootstrap over seeds and pictures: both are drawn with replacement, the two models are scored on the same draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from self_training_cells import Cell, Experiment, GroupResult

RESAMPLES = 4000
CONFIDENCE = 0.95


def summarise(cells: Sequence[Cell], experiment: Experiment) -> dict[str, Any]:
    """Recall by model and group, differences to teacher and control, and the worth of the labels."""
    models = list(dict.fromkeys(cell.model for cell in cells))
    groups = sorted({group for cell in cells for group in cell.groups})
    students = [model for model in models if model.startswith("student")]
    compared = [(student, other) for student in students for other in ("teacher", "control")]
    compared += [("control", "teacher")] + [("oracle", "teacher")] * ("oracle" in models)
    return {
        "world": experiment.world.name,
        "seeds": len({cell.seed for cell in cells}),
        "steps": {"teacher": experiment.teacher_steps, "others": experiment.steps},
        "recall": {group: {model: _recall(_of(cells, model, group)) for model in models} for group in groups},
        "phrases": {group: sum(_of(cells, models[0], group)[0].counts.values()) for group in groups},
        "differences": {
            f"{first} - {second}": {group: difference(cells, first, second, group) for group in groups}
            for first, second in compared
        },
        "labels": _labels(cells),
    }


def _of(cells: Iterable[Cell], model: str, group: str) -> list[GroupResult]:
    return [cell.groups[group] for cell in sorted(cells, key=lambda cell: cell.seed) if cell.model == model]


def _recall(results: Sequence[GroupResult]) -> list[float]:
    """Recall@1 of each seed."""
    return [
        sum(one.hits[key] * count for key, count in one.counts.items()) / sum(one.counts.values()) for one in results
    ]


def difference(cells: Sequence[Cell], first: str, second: str, group: str) -> dict[str, Any]:
    """How much better ``first`` is than ``second`` on a group, in [-1, 1], with the interval."""
    pairs = list(zip(_of(cells, first, group), _of(cells, second, group), strict=True))
    keys = sorted({key for one, _ in pairs for key in one.counts})  # what is rare in its human data, a seed decides
    counts_SI = np.array([[one.counts.get(key, 0) for key in keys] for one, _ in pairs], dtype=np.float64)
    shares_SI = np.array([[one.hits.get(key, 0) - other.hits.get(key, 0) for key in keys] for one, other in pairs])
    gains_SI = shares_SI * counts_SI
    random = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        seeds = random.integers(len(pairs), size=len(pairs))
        drawn_I = random.multinomial(len(keys), np.full(len(keys), 1 / len(keys)))
        draws.append(float((gains_SI[seeds] @ drawn_I).sum() / max(1.0, (counts_SI[seeds] @ drawn_I).sum())))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return {"mean": float(gains_SI.sum() / counts_SI.sum()), "interval": [float(low), float(high)]}


def _labels(cells: Iterable[Cell]) -> dict[str, list[dict[str, Any]]]:
    """Of all seeds together: by group and lowest score, how many boxes, which share is right, which phrases found."""
    teachers = [cell.labels for cell in cells if cell.model == "teacher"]
    found: dict[str, list[dict[str, Any]]] = {}
    for group in sorted({group for labels in teachers for group in labels}):
        curves = [labels[group] for labels in teachers if group in labels]
        found[group] = [_together(points) for points in zip(*curves, strict=True)]
    return found


def _together(points: Sequence[Any]) -> dict[str, Any]:
    right, wrong = sum(point.right for point in points), sum(point.wrong for point in points)
    phrases, hit = sum(point.phrases for point in points), sum(point.phrases_found for point in points)
    return {
        "min_score": points[0].selection,
        "boxes": sum(point.boxes for point in points),
        "precision": right / (right + wrong) if right + wrong else None,
        "phrase_recall": hit / phrases if phrases else None,
    }


def print_tables(result: dict[str, Any]) -> None:
    """Markdown, in per cent and points."""
    models = list(next(iter(result["recall"].values())))
    print(f"\n{result['world']}: {result['seeds']} seeds, steps {result['steps']}\n")
    print("| phrases | over | " + " | ".join(models) + " |\n|" + " --- |" * (2 + len(models)))
    for group, recall in result["recall"].items():
        values = " | ".join(f"{100 * np.mean(recall[model]):.1f}" for model in models)
        print(f"| {group} | {result['phrases'][group]} | {values} |")
    names = list(result["differences"])
    print("\n| phrases | " + " | ".join(names) + " |\n|" + " --- |" * (1 + len(names)))
    for group in result["recall"]:
        print(f"| {group} | " + " | ".join(_points(result["differences"][name][group]) for name in names) + " |")
    for group, points in result["labels"].items():
        print(f"\nlabels of {group}:\n| lowest score | boxes | precision | phrases found |\n| --- | --- | --- | --- |")
        for point in points:
            shares = (_percent(point["precision"]), _percent(point["phrase_recall"]))
            print(f"| {point['min_score']} | {point['boxes']} | {shares[0]} | {shares[1]} |")


def _points(one: dict[str, Any]) -> str:
    low, high = one["interval"]
    return f"{100 * one['mean']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
