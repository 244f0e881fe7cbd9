"""The figures of the report, as plain plotly figures: traces and axes; colours are the page's, set by its script.

In: reports. Out: :class:`Plot`. The page draws them with the bundled library and repeats their numbers in a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.reports import DatasetReport, Histogram, PseudoLabelReport


@dataclass(frozen=True)
class Plot:
    """A figure, what it says in one sentence (for those who do not see it), and its numbers as a table."""

    name: str
    title: str
    summary: str
    figure: dict[str, Any]
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def dataset_plots(report: DatasetReport) -> list[Plot]:
    """Histograms and the rank-frequency curve of a dataset; those that would be empty are left out."""
    shown = [one for one in report.histograms if sum(one.counts) and not _is_constant(one)]
    plots = [_histogram(one) for one in shown]
    if len(report.rank_frequency) > 1:
        plots.append(_ranks(report))
    return plots


def _is_constant(histogram: Histogram) -> bool:
    """Whether it is the score of human boxes, which is 1 by definition."""
    return histogram.name == "scores" and sum(histogram.counts[:-1]) == 0


def _bin_names(histogram: Histogram) -> list[str]:
    if all(edge == int(edge) for edge in histogram.edges):
        names = [f"{edge:.0f}" for edge in histogram.edges[:-1]]
        return [*names[:-1], f"{names[-1]}+"] if histogram.open_end else names
    return [f"{low:.2f}–{high:.2f}" for low, high in zip(histogram.edges, histogram.edges[1:], strict=False)]


def _histogram(histogram: Histogram) -> Plot:
    names, total = _bin_names(histogram), sum(histogram.counts)
    whole = all(edge == int(edge) for edge in histogram.edges)
    centres = [edge if whole else (edge + histogram.edges[n + 1]) / 2 for n, edge in enumerate(histogram.edges[:-1])]
    most = max(range(len(names)), key=lambda number: histogram.counts[number])
    trace = {
        "type": "bar",
        "x": centres,
        "y": histogram.counts,
        "width": (histogram.edges[1] - histogram.edges[0]) * 0.86,
        "customdata": [[name, 100 * count / total] for name, count in zip(names, histogram.counts, strict=True)],
        "hovertemplate": "%{customdata[0]}<br><b>%{y:,}</b> (%{customdata[1]:.1f} %)<extra></extra>",
    }
    last = max(number for number, count in enumerate(histogram.counts) if count)
    axis: dict[str, Any] = {"title": {"text": histogram.unit}, "range": [histogram.edges[0], histogram.edges[-1]]}
    if whole:
        step = 1 if last < 12 else 2
        ticks = [*range(0, len(names) - step, step), len(names) - 1]  # the last one says that its bin is open
        axis = {
            "title": {"text": histogram.unit},
            "range": [0.4, max(5.6, last + 1.6)],
            "tickvals": [histogram.edges[number] for number in ticks],
            "ticktext": [names[number] for number in ticks],
        }
    return Plot(
        name=histogram.name,
        title=histogram.title,
        summary=f"{histogram.title}: {total:,} values, most of them at {names[most]} ({histogram.counts[most]:,}).",
        figure={"data": [trace], "layout": {"xaxis": axis, "yaxis": {"rangemode": "tozero"}}},
        columns=(histogram.unit, "count"),
        rows=[(name, f"{count:,}") for name, count in zip(names, histogram.counts, strict=True)],
    )


def _ranks(report: DatasetReport) -> Plot:
    ranks, counts = zip(*report.rank_frequency, strict=True)
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": ranks,
        "y": counts,
        "hovertemplate": "rank %{x:,}<br><b>%{y:,}</b> occurrences<extra></extra>",
    }
    axes = {"xaxis": {"type": "log", "title": {"text": "rank of the phrase"}, "dtick": 1}}
    axes["yaxis"] = {"type": "log", "title": {"text": "occurrences"}, "dtick": 1}
    return Plot(
        name="rank_frequency",
        title="Phrases by rank",
        summary=f"Occurrences of phrases by rank, both logarithmic: from {counts[0]:,} at rank 1 to {counts[-1]:,}.",
        figure={"data": [trace], "layout": axes},
        columns=("rank", "occurrences"),
        rows=[(f"{rank:,}", f"{count:,}") for rank, count in report.rank_frequency],
    )


def quality_plot(quality: PseudoLabelReport) -> Plot:
    """Precision against phrase recall as the lowest kept score rises, with the presets as points."""
    curve = [one for one in quality.curve if one.precision is not None and one.phrase_recall is not None]
    presets = [one for one in quality.presets if one.precision is not None and one.phrase_recall is not None]
    template = "%{customdata}<br>precision <b>%{y:.1f} %</b><br>phrase recall <b>%{x:.1f} %</b><extra></extra>"
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [100 * (one.phrase_recall or 0) for one in curve],
        "y": [100 * (one.precision or 0) for one in curve],
        "customdata": [f"score ≥ {one.selection}" for one in curve],
        "hovertemplate": template,
        "name": "by lowest score",
    }
    points = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [100 * (one.phrase_recall or 0) for one in presets],
        "y": [100 * (one.precision or 0) for one in presets],
        "text": [one.selection for one in presets],
        "textposition": "bottom left",
        "cliponaxis": False,
        "customdata": [one.selection for one in presets],
        "hovertemplate": template,
        "name": "presets",
        "meta": "accent",
    }
    axes = {
        "xaxis": {"title": {"text": "phrase recall, %"}, "range": [0, 105]},
        "yaxis": {"title": {"text": "precision, %"}, "range": [0, 105]},
    }
    return Plot(
        name="quality",
        title="Precision and recall by lowest score",
        summary="Precision of the boxes against recall of the phrases as the lowest kept score rises.",
        figure={"data": [line, points], "layout": axes},
        columns=("lowest score", "boxes", "precision, %", "phrase recall, %"),
        rows=[
            (
                one.selection,
                f"{one.boxes:,}",
                f"{100 * (one.precision or 0):.1f}",
                f"{100 * (one.phrase_recall or 0):.1f}",
            )
            for one in curve
        ],
    )
