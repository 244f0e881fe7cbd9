"""``index.html`` of an evaluation: figures, the precision-recall curve, and the worst mistakes with their pictures.

In: the reports, and for each dataset its worst mistakes. Out: one HTML document that opens from disk, made as the
report's page is (see ``pipelines.pages.page_templates``); what comes from the data stands in it as text alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.console.number_formats import percent
from pipelines.evaluation.answer_table import answers_name
from pipelines.pages.evaluation_tables import main_metrics
from pipelines.pages.mistakes import Mistake
from pipelines.pages.page_templates import embedded_json, environment, page_assets
from pipelines.pages.plots import Plot, axis
from schemas.reports import EvaluationReport, MetricValue, PrecisionRecall

OUTCOMES = {
    "right": "",
    "localisation": "near a human box of its name, IoU from 0.1 to 0.5",
    "other_name": "on a human box of another name",
    "background": "on nothing annotated",
    "duplicate": "on a human box that a better box has already found",
    "missed": "found by no box",
}
SURE = ("Sure and wrong", "The wrong boxes with the highest scores (red), and the human boxes of that name (blue).")
MISSED = ("Missed", "The largest human boxes (blue) that nothing found.")


@dataclass(frozen=True)
class EvaluationView:
    """One dataset as the template shows it."""

    place: str
    report: EvaluationReport
    rows: list[MetricValue]
    plot: Plot | None
    answers: str
    lists: list[tuple[str, str, Sequence[Mistake]]]


def render(reports: Sequence[EvaluationReport], mistakes: Sequence[tuple[Sequence[Mistake], ...]], title: str) -> str:
    """The page as text; ``mistakes`` of each dataset: those it was sure of, and human boxes that were missed."""
    views = [_view(f"d{n}", one, *mistakes[n]) for n, one in enumerate(reports)]
    figures = {f"{view.place}-curve": view.plot.figure for view in views if view.plot is not None}
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            title=title,
            reports=reports,
            views=views,
            outcomes=OUTCOMES,
            figures=embedded_json(figures),
            **page_assets("evaluation", ("plots.js",), with_figures=bool(figures)),
        )
    )


def _view(place: str, report: EvaluationReport, sure: Sequence[Mistake], missed: Sequence[Mistake]) -> EvaluationView:
    plot = curve_plot(report.curve) if report.curve is not None else None
    lists = [(*SURE, sure), (*MISSED, missed)]
    return EvaluationView(place, report, main_metrics(report), plot, answers_name(report.dataset), lists)


def curve_plot(curve: PrecisionRecall) -> Plot:
    """Precision over recall at IoU 0.5, of phrases' best boxes or as the mean over classes."""
    trace = {
        "type": "scatter",
        "mode": "lines",
        "meta": "main",
        "x": [round(100 * value, 2) for value in curve.recall],
        "y": [round(100 * value, 2) for value in curve.precision],
        "hovertemplate": "recall %{x:.1f} %<br>precision <b>%{y:.1f} %</b><extra></extra>",
    }
    full = {"range": [0, 101]}
    scores = [f"{score:.2f}" for score in curve.score] or ["-"] * len(curve.recall)
    return Plot(
        name="curve",
        title="Precision over recall, IoU 0.5",
        summary=f"Precision over recall at IoU 0.5, over {curve.over}.",
        figure={"data": [trace], "layout": {"xaxis": axis("recall, %", **full), "yaxis": axis("precision, %", **full)}},
        columns=("recall, %", "precision, %", "score"),
        rows=[
            (percent(recall), percent(precision), score)
            for recall, precision, score in zip(curve.recall, curve.precision, scores, strict=True)
        ],
    )
