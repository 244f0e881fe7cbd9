"""Evaluations as tables: on the terminal, and for pages, models side by side on each dataset.

In: the evaluations of one model, or of several. Out: one table a dataset, of the metrics that a reader looks at first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from schemas.reports import Document, EvaluationReport, MetricValue

SHOWN_CLASSES = ("person",)
MAIN_METRICS = (
    *("phrase_recall@1", "phrase_recall@5", "phrase_recall@10"),
    *("AP", "AP50", "AP75", "AP50/person", "voc07_AP", "voc12_AP"),
)


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
    present = [one for one in by_model.values() if one is not None]
    rows = []
    for metric in MAIN_METRICS:
        found = {model: _metric(one, metric) for model, one in by_model.items()}
        counts = [one.count for one in found.values() if one is not None]
        if counts and max(counts) > 0:
            values = [one.value if one is not None else None for one in found.values()]
            baseline = next((one.baseline for one in found.values() if one is not None), None)
            rows.append(EvaluationRow(metric=metric, count=max(counts), baseline=baseline, values=values))
    return EvaluationTable(dataset=dataset, images=max(one.images for one in present), models=list(by_model), rows=rows)


def _metric(evaluation: EvaluationReport | None, name: str) -> MetricValue | None:
    return next((one for one in evaluation.metrics if one.name == name), None) if evaluation is not None else None


def main_metrics(evaluation: EvaluationReport) -> list[MetricValue]:
    """The metrics that are no single class's, and those of the classes that are always shown."""
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
            baseline = [_percent(one.baseline)] if base else []
            cells = (name, one.name, _percent(one.value), *baseline, f"{one.count:,}")
            table.add_row(*cells, end_section=number == len(shown) - 1)
    Console().print(table)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
