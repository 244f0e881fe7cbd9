"""The tables of a few-shot harness: modes down, shots across, each figure with its interval.

In: the reports of the cells. Out: the mean over the seeds, with the percentile interval of a bootstrap (Efron, 1979)
in which seeds and pictures of the test set are both drawn with replacement; the same of the mean over datasets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.metrics.resampling import image_draws, image_keys, resampled
from pipelines.console.number_formats import counted
from pipelines.few_shot.cells import ZERO_SHOT, Cell
from pipelines.labelling.estimates import DRAWS, Estimate
from schemas.few_shot_recipes import Shots
from schemas.reports import Document, EvaluationReport

CONFIDENCE = 0.95


Reports = Mapping[Cell, EvaluationReport]
Draws = tuple[float, NDArray[np.float64]]
"""A figure, and its values on resamples [R]."""


class FewShotTable(Document):
    """One metric on one dataset, or its mean over all; ``modes`` has for each mode an estimate for each number of
    ``shots``."""

    dataset: str
    metric: str
    pictures: int
    seeds: int
    zero_shot: Estimate
    shots: list[Shots]
    modes: dict[str, list[Estimate]]


def tables_of(metrics: Sequence[str], datasets: Mapping[str, Reports]) -> list[FewShotTable]:
    """A table for each dataset and metric; of several datasets the mean over them, too, as ODinW is reported."""
    tables = [table_of(name, metric, [reports]) for name, reports in datasets.items() for metric in metrics]
    if len(datasets) > 1:
        name = f"mean over {len(datasets)} datasets"
        tables += [table_of(name, metric, list(datasets.values())) for metric in metrics]
    return tables


def table_of(name: str, metric: str, datasets: Sequence[Reports]) -> FewShotTable:
    """The table of one dataset, or of the mean over several. ValueError where an evaluation lacks the metric, or the
    metric has no interval."""
    by_kind = [_by_kind(reports) for reports in datasets]
    kinds = [kind for kind in by_kind[0] if kind[1] != 0]
    shots = list(dict.fromkeys(shots for _, shots in kinds))

    def estimate(mode: str, shots: Shots) -> Estimate:
        return _mean([_draws(one[mode, shots], metric, number) for number, one in enumerate(by_kind)])

    return FewShotTable(
        dataset=name,
        metric=metric,
        pictures=sum(one[ZERO_SHOT, 0][0].images for one in by_kind),
        seeds=max(len(group) for group in by_kind[0].values()),
        zero_shot=estimate(ZERO_SHOT, 0),
        shots=shots,
        modes={mode: [estimate(mode, number) for number in shots] for mode in dict.fromkeys(mode for mode, _ in kinds)},
    )


def _by_kind(reports: Reports) -> dict[tuple[str, Shots], list[EvaluationReport]]:
    """The reports of all seeds by mode and shots."""
    by_kind: dict[tuple[str, Shots], list[EvaluationReport]] = {}
    for cell, report in reports.items():
        by_kind.setdefault((cell.mode, cell.shots), []).append(report)
    return by_kind


def _draws(reports: Sequence[EvaluationReport], metric: str, seed: int) -> Draws:
    """The mean of a metric over the reports of several seeds on one test set, and its values on resamples of seeds and
    pictures."""
    keys = resampled_keys(reports[0], metric)
    random = np.random.default_rng(seed)
    parts = image_draws(len(keys), DRAWS, random)
    values_SR = np.hstack([[resampled(report, metric, keys, draws_RI) for report in reports] for draws_RI in parts])
    seeds_RS = random.integers(len(reports), size=(DRAWS, len(reports)))
    mean = float(np.mean([report.value(metric) for report in reports]))
    return mean, values_SR[seeds_RS, np.arange(DRAWS)[:, None]].mean(axis=1)


def _mean(datasets: Sequence[Draws]) -> Estimate:
    """The mean over datasets, each resampled by itself, with its interval."""
    means_R = np.mean([values for _, values in datasets], axis=0)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(means_R, (tail, 1 - tail))
    return Estimate(value=float(np.mean([value for value, _ in datasets])), low=float(low), high=float(high))


def resampled_keys(report: EvaluationReport, metric: str) -> list[str]:
    """The pictures that a metric's interval is taken over. ValueError where the report lacks the metric, or it has no
    interval."""
    keys = sorted(image_keys(report, metric))
    if not keys:
        known = ", ".join(one.name for one in report.metrics if "/" not in one.name)
        raise ValueError(f"the evaluation has no metric {metric!r} with an interval; there are: {known}")
    return keys


def markdown(table: FewShotTable) -> str:
    """The table as text, in per cent."""
    names = [f"{shots}-shot" if shots != "full" else "full data" for shots in table.shots]
    over = f"{counted(table.seeds, 'seed')}, {counted(table.pictures, 'picture')}"
    lines = [
        f"{table.dataset}: {table.metric} in per cent (95 % interval), {over}; zero-shot {_figure(table.zero_shot)}",
        "",
        "| tuned | " + " | ".join(names) + " |",
        "|" + " --- |" * (1 + len(names)),
    ]
    rows = (f"| {mode} | " + " | ".join(map(_figure, row)) + " |" for mode, row in table.modes.items())
    return "\n".join([*lines, *rows])


def _figure(one: Estimate) -> str:
    return f"{100 * one.value:.1f} ({100 * one.low:.1f} to {100 * one.high:.1f})"
