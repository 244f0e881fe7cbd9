"""The tables of a few-shot harness: modes down, shots across, each figure with its interval.

In: the reports of the cells. Out: the mean over the seeds, with the percentile interval of a bootstrap (Efron, 1979)
in which seeds and pictures of the test set are both drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.metrics.resampling import image_keys, resampled
from pipelines.few_shot.cells import Cell
from pipelines.labelling.estimates import DRAWS, Estimate
from schemas.few_shot_recipes import Shots
from schemas.reports import Document, EvaluationReport

CONFIDENCE = 0.95


class FewShotTable(Document):
    """One metric on one dataset; ``modes`` has for each mode an estimate for each of ``shots``."""

    dataset: str
    metric: str
    pictures: int
    seeds: int
    zero_shot: Estimate
    shots: list[Shots]
    modes: dict[str, list[Estimate]]


def table_of(metric: str, reports: Mapping[Cell, EvaluationReport]) -> FewShotTable:
    """The table of the cells of one dataset. ValueError where their evaluation has no such metric, or it is no mean or
    average precision and has no interval."""
    by_kind: dict[tuple[str, Shots], list[EvaluationReport]] = {}
    for cell, report in reports.items():
        by_kind.setdefault((cell.mode, cell.shots), []).append(report)
    zero_shot = next(report for cell, report in reports.items() if cell.shots == 0)
    tuned = [kind for kind in by_kind if kind[1] != 0]
    shots = list(dict.fromkeys(shots for _, shots in tuned))
    return FewShotTable(
        dataset=next(iter(reports)).dataset.name,
        metric=metric,
        pictures=zero_shot.images,
        seeds=max(len(group) for group in by_kind.values()),
        zero_shot=estimate([zero_shot], metric),
        shots=shots,
        modes={
            mode: [estimate(by_kind[mode, number], metric) for number in shots]
            for mode in dict.fromkeys(mode for mode, _ in tuned)
        },
    )


def estimate(reports: Sequence[EvaluationReport], metric: str) -> Estimate:
    """The mean of a metric over the reports of several seeds on one test set, with its interval."""
    keys = resampled_keys(reports[0], metric)
    random = np.random.default_rng(0)
    draws_RI = random.multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=DRAWS).astype(np.float64)
    values_SR = np.stack([resampled(report, metric, keys, draws_RI) for report in reports])
    seeds_RS = random.integers(len(reports), size=(DRAWS, len(reports)))
    means_R = values_SR[seeds_RS, np.arange(DRAWS)[:, None]].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(means_R, (tail, 1 - tail))
    mean = float(np.mean([report.value(metric) for report in reports]))
    return Estimate(value=mean, low=float(low), high=float(high))


def resampled_keys(report: EvaluationReport, metric: str) -> list[str]:
    """The pictures that a metric's interval is over. ValueError where the report has no such metric, or without one."""
    keys = sorted(image_keys(report, metric))
    if not keys:
        known = ", ".join(one.name for one in report.metrics if "/" not in one.name)
        raise ValueError(f"the evaluation has no metric {metric!r} with an interval; there are: {known}")
    return keys


def markdown(table: FewShotTable) -> str:
    """The table as text, in per cent."""
    names = [f"{shots}-shot" if shots != "full" else "full data" for shots in table.shots]
    lines = [
        f"{table.dataset}: {table.metric} in per cent (95 % interval), {table.seeds} seeds, {table.pictures} pictures; "
        f"zero-shot {_figure(table.zero_shot)}",
        "",
        "| tuned | " + " | ".join(names) + " |",
        "|" + " --- |" * (1 + len(names)),
    ]
    rows = (f"| {mode} | " + " | ".join(map(_figure, row)) + " |" for mode, row in table.modes.items())
    return "\n".join([*lines, *rows])


def _figure(one: Estimate) -> str:
    return f"{100 * one.value:.1f} ({100 * one.low:.1f} to {100 * one.high:.1f})"
