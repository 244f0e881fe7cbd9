"""The figures that judge boxes: precision against recall by lowest score, and how far calibrated scores hold.

In: the quality of pseudo-labels, a calibration's reliability. Out: plots.
"""

from __future__ import annotations

from typing import Any

from pipelines.console.number_formats import percent
from pipelines.pages.plots import Plot, axis, plain
from schemas.calibration import Reliability
from schemas.dataset_report import CalibrationSummary
from schemas.reports import PseudoLabelFigures, PseudoLabelReport

PERCENT_AXIS = {"range": [0, 105]}


def quality_plot(quality: PseudoLabelReport) -> Plot:
    """Precision against phrase recall as the lowest kept score rises, with the presets as points."""
    curve, presets = _judged(quality.curve), _judged(quality.presets)
    line = _precision_recall(curve) | {
        "mode": "lines+markers",
        "meta": "main",
        "customdata": [f"score ≥ {plain(one.selection)}" for one in curve],
        "name": "by lowest score",
    }
    names = [plain(name) for name in _names_by_point(presets)]
    points = _precision_recall(presets) | {
        "mode": "markers+text",
        "meta": "mark",
        "text": names,
        "textposition": "bottom left",
        "cliponaxis": False,
        "customdata": [plain(one.selection) for one in presets],
        "name": "presets",
    }
    axes = {"xaxis": axis("phrase recall, %", **PERCENT_AXIS), "yaxis": axis("precision, %", **PERCENT_AXIS)}
    return Plot(
        name="quality",
        title="Precision and recall by lowest score",
        summary="Precision of the boxes against recall of the phrases as the lowest kept score rises.",
        figure={"data": [line, points], "layout": axes},
        columns=("lowest score", "boxes", "precision, %", "phrase recall, %"),
        rows=[(one.selection, f"{one.boxes:,}", percent(one.precision), percent(one.phrase_recall)) for one in curve],
    )


def _names_by_point(presets: list[PseudoLabelFigures]) -> list[str]:
    """What to write at each point: all names that would cover each other stand at the first of them."""
    places = [(round(50 * (one.phrase_recall or 0)), round(50 * (one.precision or 0))) for one in presets]
    together: dict[tuple[int, int], list[str]] = {}
    for one, place in zip(presets, places, strict=True):
        together.setdefault(place, []).append(one.selection)
    return [", ".join(together.pop(place, [])) for place in places]


def _judged(figures: list[PseudoLabelFigures]) -> list[PseudoLabelFigures]:
    return [one for one in figures if one.precision is not None and one.phrase_recall is not None]


def _precision_recall(figures: list[PseudoLabelFigures]) -> dict[str, Any]:
    template = "%{customdata}<br>precision <b>%{y:.1f} %</b><br>phrase recall <b>%{x:.1f} %</b><extra></extra>"
    return {
        "type": "scatter",
        "x": [100 * (one.phrase_recall or 0) for one in figures],
        "y": [100 * (one.precision or 0) for one in figures],
        "hovertemplate": template,
    }


def reliability_plot(calibration: CalibrationSummary) -> Plot | None:
    """Predicted against measured precision on the calibration's held-out half; None where it has none."""
    judged = [
        ("raw score", "other", calibration.raw),
        ("calibrated", "main", calibration.calibrated),
    ]
    there = [(name, part, one) for name, part, one in judged if one is not None and any(bin.boxes for bin in one.bins)]
    if not there:
        return None
    even = {"type": "scatter", "mode": "lines", "meta": "even", "name": "as predicted", "x": [0, 100], "y": [0, 100]}
    errors = [f"{name} {one.error:.3f}" for name, _, one in there if one.error is not None]
    return Plot(
        name="reliability",
        title="Reliability on held-out pictures",
        summary="Predicted against measured precision; expected calibration error: " + ", ".join(errors) + ".",
        figure={
            "data": [even | {"hoverinfo": "skip", "line": {"dash": "dot"}}, *(_bins(*one) for one in there)],
            "layout": {
                "xaxis": axis("predicted precision, %", **PERCENT_AXIS),
                "yaxis": axis("measured precision, %", **PERCENT_AXIS),
                "showlegend": True,
            },
        },
        columns=("scores", "boxes", "predicted, %", "measured, %"),
        rows=[
            (name, f"{bin.boxes:,}", percent(bin.predicted), percent(bin.precision))
            for name, _, one in there
            for bin in one.bins
            if bin.boxes
        ],
        definition="Boxes of the half of the human pictures that the calibration was not fitted on, in bins of "
        "predicted precision: the mean prediction against the share that is right. A dot's area is its boxes.",
    )


def _bins(name: str, part: str, found: Reliability) -> dict[str, Any]:
    bins = [one for one in found.bins if one.predicted is not None and one.precision is not None]
    total = max(sum(one.boxes for one in bins), 1)
    return {
        "type": "scatter",
        "mode": "markers",
        "meta": part,
        "name": name,
        "x": [100 * (one.predicted or 0) for one in bins],
        "y": [100 * (one.precision or 0) for one in bins],
        "marker": {"size": [round(6 + 26 * (one.boxes / total) ** 0.5, 1) for one in bins], "opacity": 0.75},
        "customdata": [one.boxes for one in bins],
        "hovertemplate": f"{name}: %{{customdata:,}} boxes<br>predicted %{{x:.1f}} %<br>measured <b>%{{y:.1f}} %</b>"
        "<extra></extra>",
    }
