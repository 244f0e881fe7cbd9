"""The figures of the report, as plain plotly figures: traces and axes; colours are the page's, set by its script.

In: reports. Out: :class:`Plot`. The page draws them with the bundled library and repeats their numbers in a table.
"meta" of a trace says what part it plays, which ``templates/plots.js`` gives a colour: main, other, mark, fit, even.
"""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log10
from typing import Any

from schemas.dataset_report import HeatMap, Histogram

MAX_TITLE_CHARS = 26
# What the bars of a histogram count, by its name or else by its section.
COUNTED = {
    "boxes_per_phrase": "phrases",
    "unit_seconds": "units",
    "size": "images",
    "scores": "boxes",
    "boxes": "boxes",
    "images": "images",
    "captions": "captions",
}
RATIO, RATIO_TITLE = "log2 of width / height", "width : height"  # the report's unit, and how an axis is named


@dataclass(frozen=True)
class Plot:
    """A figure, what it says in one sentence (for those who do not see it), and its numbers as a table.

    ``definition`` and ``sql`` say what is counted, where the report knows.
    """

    name: str
    title: str
    summary: str
    figure: dict[str, Any]
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    definition: str = ""
    sql: str | None = None


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """An axis with its title, which is broken where it would be longer than a narrow figure."""
    return {"title": {"text": "<br>".join(textwrap.wrap(title, MAX_TITLE_CHARS))}, **settings}


def plain(text: str) -> str:
    """Text from data for a figure, escaped: the plotting library takes some tags for markup."""
    return html.escape(text, quote=False)


def log_axis(title: str, low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis with at most six ticks, each a power of ten."""
    return axis(title, type="log", dtick=max(1, ceil(log10(max(high / low, 10)) / 5)), tickangle=0)


def histogram_plots(histograms: list[Histogram]) -> list[Plot]:
    """Plots of the histograms that count anything, in order. The score of human boxes is 1 by definition and is left
    out."""
    return [histogram_plot(one) for one in histograms if sum(one.counts) and not _is_constant(one)]


def _is_constant(histogram: Histogram) -> bool:
    return histogram.name == "scores" and sum(histogram.counts[:-1]) == 0


def _counts_things(histogram: Histogram) -> bool:
    """Whether every bin is one whole number: 1 box, 2 boxes, ..."""
    edges = histogram.edges
    return all(high - low == 1 and low == int(low) for low, high in pairwise(edges))


def bin_names(histogram: Histogram) -> list[str]:
    """What each bin is called: '3', '10–20', '0.25–0.30', '20+'."""
    edges = histogram.edges
    digits = 0 if all(edge == int(edge) for edge in edges) else 2
    if _counts_things(histogram):
        names = [f"{edge:.0f}" for edge in edges[:-1]]
    else:
        names = [f"{low:,.{digits}f}–{high:,.{digits}f}" for low, high in pairwise(edges)]
    if histogram.open_start:
        names[0] = f"< {edges[1]:,.{digits}f}"
    if histogram.open_end:
        names[-1] = f"{edges[-2]:,.{digits}f}+"
    return names


def histogram_plot(histogram: Histogram) -> Plot:
    """A bar chart; on an axis of numbers where all bins are equally wide, else by the names of the bins."""
    names, total = bin_names(histogram), sum(histogram.counts)
    edges = histogram.edges
    widths = [high - low for low, high in pairwise(edges)]
    even = max(widths) - min(widths) < 1e-6 * max(widths)
    whole = _counts_things(histogram)
    centres: list[Any] = [low if whole else low + width / 2 for low, width in zip(edges, widths, strict=False)]
    trace = {
        "type": "bar",
        "meta": "main",
        "x": centres if even else names,
        "y": histogram.counts,
        "customdata": [[name, 100 * count / total] for name, count in zip(names, histogram.counts, strict=True)],
        "hovertemplate": "%{customdata[0]}<br><b>%{y:,}</b> (%{customdata[1]:.1f} %)<extra></extra>",
    } | ({"width": widths[0] * 0.86} if even else {})
    things = COUNTED.get(histogram.name) or COUNTED.get(histogram.section, "count")
    most = max(range(len(names)), key=lambda number: histogram.counts[number])
    return Plot(
        name=histogram.name,
        title=histogram.title,
        summary=f"{histogram.title}: {total:,} values, most of them at {names[most]} ({histogram.counts[most]:,}).",
        figure={
            "data": [trace],
            "layout": {"xaxis": _bin_axis(histogram, names, even), "yaxis": count_axis(things, max(histogram.counts))},
        },
        columns=(histogram.unit, things),
        rows=[(name, f"{count:,}") for name, count in zip(names, histogram.counts, strict=True)],
        definition=histogram.definition,
        sql=histogram.sql,
    )


def count_axis(things: str, most: int) -> dict[str, Any]:
    """An axis of whole numbers from 0, named by what is counted."""
    return axis(things, rangemode="tozero", tickformat=",", **({"dtick": 1} if most <= 5 else {}))


def _bin_axis(histogram: Histogram, names: list[str], even: bool) -> dict[str, Any]:
    if histogram.unit == RATIO:
        return _ratio_axis(histogram)
    if not even:
        return axis(histogram.unit, type="category")
    if _counts_things(histogram):
        return _counted_axis(histogram, names)
    return axis(histogram.unit, range=_shown_range(histogram))


def _ratio_axis(histogram: Histogram) -> dict[str, Any]:
    """An axis of logarithms of two, labelled as ratios: 1:4, 1:1, 4:1."""
    low, high = _shown_range(histogram)
    ticks = range(ceil(low), int(high) + 1, 2 if high - low > 5 else 1)
    return axis(RATIO_TITLE, range=[low, high], tickvals=[*ticks], ticktext=[ratio(tick) for tick in ticks])


def ratio(logarithm: float) -> str:
    """A logarithm of base two as a ratio: 2:1, 1:1.41."""
    times = f"{2 ** abs(logarithm):.3g}"
    return f"{times}:1" if logarithm >= 0 else f"1:{times}"


def _shown_range(histogram: Histogram) -> list[float]:
    """The range of the axis: from edge to edge; at an open end, only as far as there are counts."""
    last = max(number for number, count in enumerate(histogram.counts) if count)
    end = min(max(last + 2, len(histogram.counts) // 4), len(histogram.counts)) if histogram.open_end else -1
    return [histogram.edges[0], histogram.edges[end]]


def _counted_axis(histogram: Histogram, names: list[str]) -> dict[str, Any]:
    """Ticks at whole numbers; the last one says that its bin is open."""
    first = histogram.edges[0]
    last = max(number for number, count in enumerate(histogram.counts) if count)
    step = 1 if last < 12 else 2 if last < 24 else 5
    ticks = [*range(0, len(names) - step, step), len(names) - 1]
    return axis(
        histogram.unit,
        range=[first - 0.6, first + max(4.6, last + 0.6)],
        tickvals=[histogram.edges[number] for number in ticks],
        ticktext=[names[number] for number in ticks],
    )


def heat_map_plot(heat_map: HeatMap) -> Plot:
    """A heat map of places in the image; its table has thirds of the image."""
    counts, total = heat_map.counts, sum(map(sum, heat_map.counts))
    trace = {
        "type": "heatmap",
        "z": [[100 * count / max(total, 1) for count in row] for row in counts],
        "hovertemplate": "<b>%{z:.2f} %</b> of the boxes<extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }
    hidden = {"visible": False}
    sides = {"xaxis": hidden | {"constrain": "domain"}, "yaxis": hidden | {"autorange": "reversed", "scaleanchor": "x"}}
    thirds = _thirds(counts)
    most = max(((thirds[y][x], y, x) for y in range(3) for x in range(3)), default=(0, 1, 1))
    where = f"{('top', 'middle', 'bottom')[most[1]]} {('left', 'centre', 'right')[most[2]]}"
    return Plot(
        name=heat_map.name,
        title=heat_map.title,
        summary=f"{heat_map.title}: {total:,} boxes; of the nine parts of the image most lie in the {where}.",
        figure={"data": [trace], "layout": sides},
        columns=("third of the image", "left", "centre", "right"),
        rows=[
            (name, *(f"{count:,}" for count in row))
            for name, row in zip(("top", "middle", "bottom"), thirds, strict=True)
        ],
        definition=heat_map.definition,
        sql=heat_map.sql,
    )


def _thirds(counts: list[list[int]]) -> list[list[int]]:
    """The counts of a grid summed to 3 x 3."""
    sums = [[0, 0, 0] for _ in range(3)]
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            sums[3 * y // len(counts)][3 * x // len(row)] += count
    return sums
