"""What a recipe makes of a source's own columns: which rows are taken (``source.keep``, looked at before a picture is),
and which cells go with a sample into its shard (``source.carry``).

In: the recipe's rules, the names of the columns that there are, and rows as mappings. Out: the reason why a row is not
taken, which names its column (``column_similarity_below_min``); the cells to carry.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from engine.sources.columns import Oversized, is_encodable, no_column
from engine.sources.image_files import Problem
from engine.sources.sayable import sayable
from schemas.column_rules import ColumnRule
from schemas.records import Cell
from schemas.source_recipes import SourceWithColumns

MAX_SHOWN = 80  # characters of a value in a message


class OwnColumns:
    """The columns that one recipe names. Rules are looked at in the order of their columns' names, so that equal
    recipes give equal reasons; without a rule every row is taken."""

    def __init__(self, recipe: SourceWithColumns) -> None:
        self._rules = sorted(recipe.keep.items())
        self._carry = recipe.carry

    @property
    def names(self) -> list[str]:
        """The columns to read, each once."""
        return list(dict.fromkeys([*(name for name, _ in self._rules), *self._carry]))

    def check(self, there: Collection[str], where: str) -> None:
        """ValueError where the recipe names a column that is not ``there``, with the one that may be meant."""
        for name in self.names:
            if name not in there:
                field = "carry" if name in self._carry else "keep"
                raise ValueError(f"source.{field}: {no_column(name, there, where)}")

    def broken_by(self, row: Mapping[str, Any]) -> Problem | None:
        """The first rule that a row breaks, as the reason why it is not taken; None where it is."""
        for name, rule in self._rules:
            found = next(_faults(row.get(name), rule), None)
            if found is not None:
                side, message = found
                return Problem(f"column_{name}_{side}", f"column {name!r} {message} (source.keep)")
        return None

    def carried(self, row: Mapping[str, Any]) -> dict[str, Cell] | None:
        """The cells that go with a sample, as JSON has them; those without a value are left out. None where none is."""
        cells = {name: _cell(row.get(name)) for name in self._carry}
        return {name: cell for name, cell in cells.items() if cell is not None} or None


def _faults(cell: object, rule: ColumnRule) -> Iterator[tuple[str, str]]:
    """What is wrong with a value: the end of the reason, and what the message says of the column."""
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
    return cell if cell is None or isinstance(cell, int) else str(cell)


def _number(value: str | int | float | None) -> int | float | None:
    """The number that a value is or spells, which may be NaN; None where it is none."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return None


def _is_among(value: str | int | float, wanted: Collection[str | int | float]) -> bool:
    """Whether a value is one of those: texts as they are, numbers also where the value spells them."""
    number = _number(value)
    return any(value == one if isinstance(one, str) else number == one for one in wanted)


def _cell(cell: object) -> Cell | None:
    """A cell as JSON's number, truth value or text; None where it holds no value, or none that JSON has."""
    if isinstance(cell, bool):
        return cell
    value = cell if isinstance(cell, str) else _plain(cell)
    if isinstance(value, float) and math.isinf(value):
        return None
    return None if isinstance(value, str) and not is_encodable(value) else value
