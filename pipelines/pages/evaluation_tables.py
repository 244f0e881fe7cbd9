"""Evaluations as tables: on the terminal, and for pages, models side by side on each dataset.

In: the evaluations of one model, or of several. Out: one table a dataset, without the metrics of single classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from pipelines.console.number_formats import percent
from pipelines.console.terminal import plain_console
from schemas.reports import Document, EvaluationReport, MetricValue

SHOWN_CLASSES = ("person",)


class EvaluationRow(Document):
    """One metric of one dataset: the value of each model, in order, and how many things it was taken over."""

    metric: str
    count: int
    baseline: float | None
    values: list[float | None]


class EvaluationTable(Document):
    """The models side by side on one dataset."""

    dataset: str
    images: int
    models: list[str]
    rows: list[EvaluationRow]


def evaluation_tables(evaluations: Mapping[str, Sequence[EvaluationReport]]) -> list[EvaluationTable]:
    """One table a dataset; a model that was not evaluated on it has empty cells."""
    names = list(dict.fromkeys(one.dataset for reports in evaluations.values() for one in reports))
    return [_table(name, evaluations) for name in names]


def _table(dataset: str, evaluations: Mapping[str, Sequence[EvaluationReport]]) -> EvaluationTable:
    by_model = {
        model: next((one for one in reports if one.dataset == dataset), None) for model, reports in evaluations.items()
    }
    figures = [{one.name: one for one in main_metrics(report)} if report else {} for report in by_model.values()]
    rows = []
    for metric in dict.fromkeys(name for of_model in figures for name in of_model):
        found = [of_model.get(metric) for of_model in figures]
        present = [one for one in found if one is not None]
        if count := max(one.count for one in present):
            values = [one.value if one is not None else None for one in found]
            rows.append(EvaluationRow(metric=metric, count=count, baseline=present[0].baseline, values=values))
    images = max(one.images for one in by_model.values() if one is not None)
    return EvaluationTable(dataset=dataset, images=images, models=list(by_model), rows=rows)


def main_metrics(evaluation: EvaluationReport) -> list[MetricValue]:
    """The metrics over all classes, and those of the classes that are always shown."""
    return [one for one in evaluation.metrics if _is_main(one.name)]


def _is_main(metric: str) -> bool:
    _, _, name = metric.partition("/")
    return not name or name in SHOWN_CLASSES


def print_reports(reports: Sequence[EvaluationReport]) -> None:
    """The figures as a table on the terminal, in per cent."""
    table = Table(title="Evaluation")
    base = ["constant box"] if any(one.baseline is not None for report in reports for one in report.metrics) else []
    for column in ("dataset", "metric", "%", *base, "over"):
        table.add_column(column, justify="left" if column in ("dataset", "metric") else "right")
    for report in reports:
        shown = main_metrics(report)
        for number, one in enumerate(shown):
            name = report.dataset if number == 0 else ""
            baseline = [percent(one.baseline)] if base else []
            cells = (name, one.name, percent(one.value), *baseline, f"{one.count:,}")
            table.add_row(*cells, end_section=number == len(shown) - 1)
    plain_console().print(table)
