"""The figures of a dataset's phrases: occurrences by rank with Zipf's law, the vocabulary's growth with Heaps'.

In: a dataset's report. Out: plots, of those that have enough points.
"""

from __future__ import annotations

from typing import Any

from pipelines.pages.plots import Plot, log_axis
from schemas.dataset_report import DatasetReport
from schemas.dataset_vocabulary import VocabularyGrowth, ZipfFit

POINTS_OF_LAW = 24


def vocabulary_plots(report: DatasetReport) -> list[Plot]:
    """The plots of ranks and of growth, as far as there are points for them."""
    plots = [_ranks(report)] if len(report.rank_frequency) > 1 else []
    growth = report.vocabulary_growth
    return [*plots, _growth(growth, report)] if growth is not None and len(growth.points) > 1 else plots


def _spaced(low: float, high: float) -> list[float]:
    """Numbers from ``low`` to ``high``, even on a logarithmic axis."""
    ratio = (high / low) ** (1 / (POINTS_OF_LAW - 1))
    return [low * ratio**step for step in range(POINTS_OF_LAW)]


def _ranks(report: DatasetReport) -> Plot:
    ranks, counts = zip(*report.rank_frequency, strict=True)
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "meta": "main",
        "name": "phrases",
        "x": ranks,
        "y": counts,
        "hovertemplate": "rank %{x:,}<br><b>%{y:,}</b> occurrences<extra></extra>",
    }
    fit = report.zipf
    law = f" Zipf's law fits with exponent {fit.exponent:.2f} (R² {fit.r_squared:.3f})." if fit else ""
    return Plot(
        name="rank_frequency",
        title="Phrases by rank",
        summary=f"Occurrences by rank, both logarithmic: from {counts[0]:,} at rank 1 to {counts[-1]:,}.{law}",
        figure={
            "data": [trace, *([_zipf(fit)] if fit else [])],
            "layout": {
                "xaxis": log_axis("rank of the phrase", ranks[0], ranks[-1]),
                "yaxis": log_axis("occurrences", counts[-1], counts[0]),
                "showlegend": fit is not None,
            },
        },
        columns=("rank", "occurrences"),
        rows=[(f"{rank:,}", f"{count:,}") for rank, count in report.rank_frequency],
        definition=fit.definition if fit else "",
    )


def _zipf(fit: ZipfFit) -> dict[str, Any]:
    ranks = _spaced(fit.first_rank, max(fit.last_rank, fit.first_rank + 1))
    counts = [fit.scale / rank**fit.exponent for rank in ranks]
    told = "Zipf at rank %{x:,.0f}<br><b>%{y:,.1f}</b><extra></extra>"
    return _law(f"Zipf {fit.exponent:.2f}", ranks, counts, told)


def _law(name: str, x: list[float], y: list[float], told: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "meta": "fit",
        "name": name,
        "line": {"dash": "dash"},
        "x": x,
        "y": y,
        "hovertemplate": told,
    }


def _growth(growth: VocabularyGrowth, report: DatasetReport) -> Plot:
    last = growth.points[-1]
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "meta": "main",
        "name": "phrases",
        "x": [point.occurrences for point in growth.points],
        "y": [point.unique_phrases for point in growth.points],
        "customdata": [point.images for point in growth.points],
        "hovertemplate": "%{customdata:,} images, %{x:,} phrases<br><b>%{y:,}</b> unique<extra></extra>",
    }
    traces = [trace, *_heaps(growth, report)]
    law = (
        f" Heaps' law fits with exponent {growth.exponent:.2f} (R² {growth.r_squared or 0:.3f})."
        if growth.exponent is not None
        else ""
    )
    return Plot(
        name="vocabulary_growth",
        title="Growth of the vocabulary",
        summary=f"Unique phrases against phrases seen: {last.unique_phrases:,} at {last.occurrences:,}.{law}",
        figure={
            "data": traces,
            "layout": {
                "xaxis": log_axis("grounded phrases", *_ends(traces, "x")),
                "yaxis": log_axis("unique phrases", *_ends(traces, "y")),
                "showlegend": growth.exponent is not None,
            },
        },
        columns=("images", "phrases", "unique phrases"),
        rows=[(f"{one.images:,}", f"{one.occurrences:,}", f"{one.unique_phrases:,}") for one in growth.points],
        definition=growth.definition,
        sql=growth.sql,
    )


def _ends(traces: list[dict[str, Any]], side: str) -> tuple[float, float]:
    """The lowest and the highest number above 0 of all traces; 1 where there is none."""
    values = [value for trace in traces for value in trace[side] if value > 0] or [1]
    return min(values), max(values)


def _heaps(growth: VocabularyGrowth, report: DatasetReport) -> list[dict[str, Any]]:
    """The law from the first point on, as far as the report extrapolates it, and the paper's number there."""
    if not growth.exponent or not growth.scale or not growth.points[0].occurrences:
        return []
    paper = next((one for one in report.paper if one.name == "unique_phrases"), None)
    last = float(growth.points[-1].occurrences)
    if paper is not None and paper.extrapolated:
        last = max(last, (paper.extrapolated / growth.scale) ** (1 / growth.exponent))
    places = _spaced(growth.points[0].occurrences, last)
    phrases = [growth.scale * place**growth.exponent for place in places]
    told = "Heaps at %{x:,.0f} phrases<br><b>%{y:,.0f}</b> unique<extra></extra>"
    law = _law(f"Heaps {growth.exponent:.2f}", places, phrases, told)
    if paper is None or not paper.extrapolated:
        return [law]
    mark = {
        "type": "scatter",
        "mode": "markers",
        "meta": "mark",
        "name": "GLIP paper",
        "marker": {"symbol": "diamond"},
        "x": [last],
        "y": [paper.paper],
        "hovertemplate": "GLIP paper<br><b>%{y:,.0f}</b> unique<extra></extra>",
    }
    return [law, mark]
