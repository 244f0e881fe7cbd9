"""Numbers as a person reads them, on a page or a terminal; a dash where there is none."""

from __future__ import annotations

import re

NONE = "–"


def whole(value: float | None) -> str:
    """12,345"""
    return NONE if value is None else f"{value:,.0f}"


def counted(value: float, one: str, more: str = "") -> str:
    """A number and what it counts, in the right number: 1 image, 2 images; 1 box, 2 boxes."""
    return f"{whole(value)} {one if value == 1 else more or one + 's'}"


def figure(value: float | None) -> str:
    """A number with as many digits as help a reader: 12,345; 37.1; 3.25; 0.75; 1."""
    if value is None:
        return NONE
    if value == int(value):
        return f"{value:,.0f}"
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 10 else f"{value:.{2 if size >= 0.1 else 3}f}"


def measured(value: float | None, unit: str = "") -> str:
    """A number with its unit: a share in percent, seconds, or what it counts as it is."""
    if unit == "share":
        return NONE if value is None else f"{100 * value:.1f} %"
    return f"{figure(value)} {unit}" if unit in ("s", "px", "ms") and value is not None else figure(value)


def changed(value: float | None, unit: str = "") -> str:
    """A difference with its sign, formatted as :func:`measured`."""
    if value is None:
        return NONE
    shown = measured(abs(value), unit)
    if not set(shown) & set("123456789"):  # nothing, or less than is shown
        return measured(0, unit)
    return ("+" if value > 0 else "−") + shown


def compact(value: float | None) -> str:
    """A large number in words that fit a table: 58.4M, 12.3k."""
    if value is None:
        return NONE
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.1f}{letter}"
    return figure(value)


def percent(value: float | None) -> str:
    """A share in percent, without the sign."""
    return NONE if value is None else f"{100 * value:.1f}"


def signed(value: float | None) -> str:
    """A difference in points, with its sign; zero has none."""
    shown = "" if value is None else f"{100 * value:+.1f}".replace("-", "−")
    return NONE if value is None else "0.0" if shown in ("+0.0", "−0.0") else shown


def minus(text: str) -> str:
    """A sentence with the minus sign, not a hyphen, before negative numbers."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", text)


def number_filters() -> dict[str, object]:
    """The formats by name, as filters for templates."""
    return {one.__name__: one for one in (whole, counted, figure, measured, changed, compact, percent, signed, minus)}
