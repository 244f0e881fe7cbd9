"""Prints the tables of ``self_training.py``: Markdown, in per cent and points.

In: the result of ``self_training_tables.summarise``. Out: a row for each model; differences in a table for each group.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def print_tables(result: dict[str, Any]) -> None:
    """Print Recall@1, its differences, and the figures of the labels."""
    print(f"\n{result['world']}: {result['seeds']} seeds, steps {result['steps']}, set {result['set']}")
    _print_recall(result)
    _print_words(result)
    for group in result["recall"]:
        _print_differences(result, group)
    for group, points in result["labels"].items():
        _print_table(
            f"labels of {group}",
            ("lowest score", "boxes", "precision", "phrases found"),
            ([point["selection"], *_worth(point)] for point in points),
        )
    _print_learned(result)


def _print_recall(result: dict[str, Any]) -> None:
    groups = result["recall"]
    rows = ([model, *(f"{100 * np.mean(groups[group][model]):.1f}" for group in groups)] for model in _models(result))
    over = [f"{group} ({result['phrases'][group]})" for group in groups]
    _print_table("Recall@1 in per cent, and over how many phrases", ("model", *over), rows)


def _print_words(result: dict[str, Any]) -> None:
    """A row for each model, a column for each novel word; "-" for a model whose figures have no words."""
    words: dict[str, dict[str, float]] = result["words"]
    if words:
        rows = (
            [model, *(f"{100 * words[word][model]:.1f}" if model in words[word] else "-" for word in words)]
            for model in _models(result)
        )
        _print_table("Recall@1 of phrases with a novel word", ("model", *words), rows)


def _print_differences(result: dict[str, Any], group: str) -> None:
    """A row for each model, a column for each model that it is compared with."""
    pairs = [name.split(" - ") for name in result["differences"]]
    others = list(dict.fromkeys(other for _, other in pairs))
    rows = []
    for model in dict.fromkeys(first for first, _ in pairs):
        found = [result["differences"].get(f"{model} - {other}") for other in others]
        rows.append([model, *("-" if one is None else _points(one[group]) for one in found)])
    _print_table(f"{group}: points of Recall@1 more than", ("model", *others), rows)


def _print_learned(result: dict[str, Any]) -> None:
    """The figures of the labels that each student learned from: a column for each group of phrases."""
    groups = sorted({group for learned in result["learned"].values() for group in learned})
    rows = (
        [name, *(" / ".join(_worth(learned[group][0])) if group in learned else "-" for group in groups)]
        for name, learned in result["learned"].items()
    )
    _print_table("labels that students learned from: boxes / precision / phrases found", ("student", *groups), rows)


def _print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    names = list(columns)
    print(f"\n{title}:\n\n| {' | '.join(names)} |\n|{' --- |' * len(names)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def _models(result: dict[str, Any]) -> list[str]:
    return list(next(iter(result["recall"].values())))


def _worth(point: dict[str, Any]) -> list[str]:
    return [str(point["boxes"]), _percent(point["precision"]), _percent(point["phrase_recall"])]


def _points(one: dict[str, Any]) -> str:
    low, high = one["interval"]
    return f"{100 * one['mean']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
