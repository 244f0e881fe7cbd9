"""The figures of two datasets side by side: each distribution as shares of its own total.

In: a comparison. Out: one plot a distribution of numbers that both have.
"""

from __future__ import annotations

from typing import Any

from pipelines.pages.plots import RATIO, RATIO_TITLE, Plot, axis, plain, ratio
from schemas.dataset_comparison import DatasetComparison, Drift

TICKS = 5
# Their bins are words, each a sliver of the whole: what changed in them stands in tables.
OF_WORDS = ("phrases", "head_lemmas")


def drift_plots(comparison: DatasetComparison) -> list[Plot]:
    """A plot for each distribution of numbers, in the comparison's order."""
    shown = [one for one in comparison.drifts if one.name not in OF_WORDS]
    return [_drift(one) for one in shown if sum(one.before) and sum(one.after)]


def _drift(drift: Drift) -> Plot:
    traces = [
        {
            "type": "bar",
            "meta": part,
            "name": name,
            "x": [plain(name) for name in drift.bins],
            "y": [100 * count / sum(counts) for count in counts],
            "customdata": counts,
            "hovertemplate": "%{x}<br><b>%{y:.1f} %</b> (%{customdata:,})<extra></extra>",
        }
        for name, part, counts in (("before", "other", drift.before), ("after", "main", drift.after))
    ]
    moved = [
        f"{name} {value:.3f}"
        for name, value in (("Jensen-Shannon divergence (bits)", drift.jensen_shannon), ("PSI", drift.psi))
        if value is not None
    ]
    return Plot(
        name=f"drift-{drift.name}",
        title=drift.title,
        summary=f"{drift.title}, before and after: " + (", ".join(moved) or "no drift can be computed") + ".",
        figure={
            "data": traces,
            "layout": {
                "xaxis": _bin_axis(drift),
                "yaxis": axis("share, %", rangemode="tozero"),
                "showlegend": True,
            },
        },
        columns=(drift.unit, "before", "after"),
        rows=[
            (name, f"{before:,}", f"{after:,}")
            for name, before, after in zip(drift.bins, drift.before, drift.after, strict=True)
        ],
        definition=drift.definition,
    )


def _bin_axis(drift: Drift) -> dict[str, Any]:
    """An axis over the bins that hold anything, with a few of them named by where they begin."""
    full = [place for place, counts in enumerate(zip(drift.before, drift.after, strict=True)) if any(counts)]
    first, last = full[0], full[-1]
    ticks = list(range(first, last + 1, -(-(last + 1 - first) // TICKS)))
    begins = [drift.bins[place].partition(" to ")[0] for place in ticks]
    return axis(
        RATIO_TITLE if drift.unit == RATIO else drift.unit,
        type="category",
        range=[first - 0.6, last + 0.6],
        tickvals=ticks,
        ticktext=[_as_ratio(name) if drift.unit == RATIO else plain(name) for name in begins],
        tickangle=0,
    )


def _as_ratio(logarithm: str) -> str:
    """A bin's name as a ratio; unchanged where it is no number, as that of an open bin."""
    try:
        return ratio(float(logarithm))
    except ValueError:
        return plain(logarithm)
