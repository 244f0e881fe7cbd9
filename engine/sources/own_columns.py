"""A source's own columns: rules for which rows to take (``source.keep``, checked before a picture is read), and cells
to store with a sample in its shard (``source.carry``).

In: the recipe's rules, the names of the existing columns, and rows as mappings. Out: the reason why a row is not taken,
which names its column (``column_similarity_below_min``); the cells to carry.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from engine.sources import Problem
from engine.sources.columns import Oversized, is_encodable, no_column
from engine.sources.sayable import sayable
from schemas.column_rules import ColumnRule
from schemas.records import Cell
from schemas.source_recipes import SourceWithColumns

MAX_SHOWN = 80  # characters of a value in a message


class OwnColumns:
    """The columns that a recipe keeps rows by, or carries. Rules are checked in the order of their columns' names, so
    that equal recipes give equal reasons; without a rule every row is taken."""

    def __init__(self, recipe: SourceWithColumns) -> None:
        self._rules = sorted(recipe.keep.items())
        self._carry = recipe.carry

    @property
    def names(self) -> list[str]:
        """The columns to read, each once."""
        return list(dict.fromkeys([*(name for name, _ in self._rules), *self._carry]))

    def check(self, there: Collection[str], where: str) -> None:
        """Raise ValueError, with the most similar column, where the recipe names one that is not ``there``."""
        for name in self.names:
            if name not in there:
                field = "carry" if name in self._carry else "keep"
                raise ValueError(f"source.{field}: {no_column(name, there, where)}")

    def broken_by(self, row: Mapping[str, Any]) -> Problem | None:
        """The first rule that a row breaks, as a Problem; None where the row is taken."""
        for name, rule in self._rules:
            found = next(_faults(row.get(name), rule), None)
            if found is not None:
                side, message = found
                return Problem(f"column_{name}_{side}", f"column {name!r} {message} (source.keep)")
        return None

    def carried(self, row: Mapping[str, Any]) -> dict[str, Cell] | None:
        """The cells to store with a sample, as JSON values, without empty ones; None where all are empty."""
        cells = {name: _cell(row.get(name)) for name in self._carry}
        return {name: cell for name, cell in cells.items() if cell is not None} or None


def _faults(cell: object, rule: ColumnRule) -> Iterator[tuple[str, str]]:
    """The rules that a value breaks: for each the end of the reason, and the predicate of the message."""
    value = _plain(cell)
    number = _number(value) if rule.min is not None or rule.max is not None else None
    if value is None or (isinstance(number, float) and math.isnan(number)):
        if rule.missing == "reject":
            yield "missing", "has no value"
        return
    shown = f"is {sayable(str(value)[:MAX_SHOWN])!r}"
    if rule.one_of and not _is_among(value, rule.one_of):
        yield "not_wanted", f"{shown}, which is none of one_of"
    if _is_among(value, rule.none_of):
        yield "not_wanted", f"{shown}, which is one of none_of"
    if number is None and (rule.min is not None or rule.max is not None):
        yield "not_a_number", f"{shown}, which is not a number"
    if number is not None and rule.min is not None and number < rule.min:
        yield "below_min", f"{shown}, at least {rule.min:g} is wanted"
    if number is not None and rule.max is not None and number > rule.max:
        yield "above_max", f"{shown}, at most {rule.max:g} is wanted"


def _plain(cell: object) -> str | int | float | None:
    """A cell as text or number; None where it holds no value."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, Oversized):
        return None
    if isinstance(cell, Decimal):
        cell = float(cell)
    if isinstance(cell, float):
        return None if math.isnan(cell) else cell
    if isinstance(cell, str):
        return cell.strip() or None
    if cell is None or isinstance(cell, int):
        return cell
    try:
        return str(cell)
    except RecursionError:  # some Pythons read JSON that is nested deeper than they can show
        return None


def _number(value: str | int | float | None) -> int | float | None:
    """The value as a number, also if it is the text of one; may be NaN. None where it is no number."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return None


def _is_among(value: str | int | float, wanted: Collection[str | int | float]) -> bool:
    """Whether a value is one of ``wanted``. A text equals a wanted number that it spells."""
    number = _number(value)
    return any(value == one if isinstance(one, str) else number == one for one in wanted)


def _cell(cell: object) -> Cell | None:
    """A cell as a JSON number, boolean or string; None where it is empty, or has a value that JSON lacks."""
    if isinstance(cell, bool):
        return cell
    value = cell if isinstance(cell, str) else _plain(cell)
    if isinstance(value, float) and math.isinf(value):
        return None
    return None if isinstance(value, str) and not is_encodable(value) else value
