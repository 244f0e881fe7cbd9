"""The reliability plot: predicted against measured precision on held-out pictures, before and after calibration (SVG).

In: a calibration. Out: the text of a picture that any browser shows, with no script and no network. A calibrated
teacher's dots lie on the diagonal; the area of a dot is the share of the boxes it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.pages.page_templates import environment
from schemas.calibration import Calibration, Reliability

SIDE, MARGIN = 300, 64  # of a panel, and around it, in pixels
LARGEST_DOT = 16


@dataclass(frozen=True)
class Dot:
    """A bin of predictions, in pixels of its panel (y downwards), and its numbers in words."""

    x: float
    y: float
    radius: float
    text: str


@dataclass(frozen=True)
class Panel:
    """One of the two plots: raw or calibrated scores."""

    title: str
    left: int
    dots: list[Dot]
    error: float | None


def reliability_svg(calibration: Calibration) -> str:
    """Two panels side by side: raw scores, calibrated scores."""
    check = calibration.held_out
    pairs = (("raw score", check.raw), ("calibrated", check.calibrated))
    panels = [
        Panel(title, MARGIN + number * (SIDE + MARGIN), _dots(found), found.error)
        for number, (title, found) in enumerate(pairs)
    ]
    return (
        environment()
        .get_template("reliability.svg.j2")
        .render(panels=panels, side=SIDE, margin=MARGIN, pictures=check.pictures_held_out, boxes=check.boxes_held_out)
    )


def _dots(found: Reliability) -> list[Dot]:
    total = sum(one.boxes for one in found.bins)
    return [
        Dot(
            x=round(one.predicted * SIDE, 1),
            y=round((1 - one.precision) * SIDE, 1),
            radius=round(max(2.5, LARGEST_DOT * (one.boxes / total) ** 0.5), 1),
            text=f"{one.boxes:,} boxes: predicted {one.predicted:.1%}, found {one.precision:.1%}",
        )
        for one in found.bins
        if one.predicted is not None and one.precision is not None
    ]
