"""The tables of ``self_training.py``: Recall@1 by group of phrases, differences with intervals, figures of the labels.

In: the results of all seeds. Out: plain values for ``results.json``, which ``self_training_print.py`` prints. Intervals
are of a paired bootstrap over seeds and pictures: both are drawn with replacement, and two models are scored on the
same draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from self_training_cells import Cell, Experiment, GroupResult, LabelFigures
from self_training_seed import SeedResult
from self_training_variants import AVERAGED_CONTROL, CONTROL, PLAIN, student

RESAMPLES = 4000
CONFIDENCE = 0.95


def summarise(found: Sequence[SeedResult], experiment: Experiment) -> dict[str, Any]:
    """Recall by model and group, differences to teacher, controls and plain student, and the figures of the labels."""
    cells = [cell for seed in found for cell in seed.cells]
    models = list(dict.fromkeys(cell.model for cell in cells))
    groups = sorted({group for cell in cells for group in cell.groups})
    return {
        "world": experiment.world.name,
        "seeds": len(found),
        "steps": {"teacher": experiment.teacher_steps, "others": experiment.steps},
        "set": dict(experiment.train),
        "recall": {group: {model: recall(_of(cells, model, group)) for model in models} for group in groups},
        "phrases": {group: sum(_of(cells, models[0], group)[0].counts.values()) for group in groups},
        "differences": {
            f"{first} - {second}": {group: difference(cells, first, second, group) for group in groups}
            for first, second in compared(models)
        },
        "words": _words(cells),
        "labels": _together_by_group([cell.labels for cell in cells if cell.model == "teacher"]),
        "learned": {
            name: _together_by_group([one.groups for seed in found for one in seed.learned if one.variant == name])
            for name in dict.fromkeys(one.variant for seed in found for one in seed.learned)
        },
    }


def _words(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """Recall@1 over all seeds by novel word and model."""
    found: dict[str, dict[str, float]] = {}
    for word in sorted({word for cell in cells for word in cell.words}):
        for model in dict.fromkeys(cell.model for cell in cells if word in cell.words):
            results = [cell.words[word] for cell in cells if cell.model == model and word in cell.words]
            hits = sum(one.hits[key] * count for one in results for key, count in one.counts.items())
            found.setdefault(word, {})[model] = hits / sum(sum(one.counts.values()) for one in results)
    return found


def compared(models: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of models to compare, the candidate first."""
    students = [model for model in models if model.startswith(student(""))]
    others = [one for one in ("teacher", CONTROL, student(PLAIN), student(AVERAGED_CONTROL)) if one in models]
    pairs = [(one, other) for one in students for other in others if one != other]
    return [*pairs, (CONTROL, "teacher"), *[("oracle", "teacher")] * ("oracle" in models)]


def _of(cells: Iterable[Cell], model: str, group: str) -> list[GroupResult]:
    return [cell.groups[group] for cell in sorted(cells, key=lambda cell: cell.seed) if cell.model == model]


def recall(results: Sequence[GroupResult]) -> list[float]:
    """Recall@1 of each seed."""
    return [
        sum(one.hits[key] * count for key, count in one.counts.items()) / sum(one.counts.values()) for one in results
    ]


def difference(cells: Sequence[Cell], first: str, second: str, group: str) -> dict[str, Any]:
    """How much better ``first`` is than ``second`` on a group, in [-1, 1], with the interval."""
    pairs = list(zip(_of(cells, first, group), _of(cells, second, group), strict=True))
    keys = sorted({key for one, _ in pairs for key in one.counts})  # rare phrases depend on the seed's human data
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


def _together_by_group(seeds: Sequence[LabelFigures]) -> dict[str, list[dict[str, Any]]]:
    """Over all seeds, by group and selection: the number of boxes, the share that is right, the share of phrases
    found."""
    found: dict[str, list[dict[str, Any]]] = {}
    for group in sorted({group for labels in seeds for group in labels}):
        curves = [labels[group] for labels in seeds if group in labels]
        found[group] = [_together(points) for points in zip(*curves, strict=True)]
    return found


def _together(points: Sequence[Any]) -> dict[str, Any]:
    right, wrong = sum(point.right for point in points), sum(point.wrong for point in points)
    phrases, hit = sum(point.phrases for point in points), sum(point.phrases_found for point in points)
    return {
        "selection": points[0].selection,
        "boxes": sum(point.boxes for point in points),
        "precision": right / (right + wrong) if right + wrong else None,
        "phrase_recall": hit / phrases if phrases else None,
    }
