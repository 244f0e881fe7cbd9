"""``--fields``: every field of a command's recipe with its type, default and meaning, instead of doing anything."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from schemas.recipe_fields import RecipeField, fields_of
from schemas.recipe_files import Recipe

_WIDTH = 100


class FieldList(argparse.Action):
    """Prints the fields of ``recipe``, or those whose names begin with what is given, and ends."""

    def __init__(self, *, recipe: type[Recipe], **options: Any) -> None:
        super().__init__(**options)
        self._recipe = recipe

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        """Ends with exit status 0; 2 where no field is called so."""
        text = field_text(self._recipe, values or "")
        if not text:
            parser.error(f"no field begins with {values!r}")
        print(text, end="")
        parser.exit()


def field_text(recipe: type[Recipe], beginning: str) -> str:
    """A paragraph a field; empty where none begins so."""
    fields = _with_rules(_each_once(fields_of(recipe)))
    chosen = [field for field in fields if field.name.startswith(beginning)]
    return "".join(f"{line}\n" for field in chosen for line in _paragraph(field))


def _with_rules(fields: Iterable[RecipeField]) -> Iterator[RecipeField]:
    """The fields, and under each selection the numbers that it may have."""
    from engine.selecting.rules import Selection

    rules = [rule for rule in fields_of(Selection) if not rule.name.startswith("calibrated")]  # which a file gives
    for field in fields:
        yield field
        if field.name.endswith("selection") and field.type.startswith("string or object"):
            yield from (replace(rule, name=f"{field.name}.{rule.name}") for rule in rules)


def _each_once(fields: Sequence[RecipeField]) -> Iterator[RecipeField]:
    """The fields: one that several choices have comes once and names them, as does the one that tells them apart, such
    as the kind of a source."""
    choices: dict[RecipeField, list[str]] = {}
    for field in fields:
        tells_apart = field.only_of and field.type.startswith('"')
        shared = replace(field, type="", default=None, only_of="") if tells_apart else replace(field, only_of="")
        choices.setdefault(shared, []).append(field.only_of)
    for field, of in choices.items():
        names = [one.partition(": ")[2] for one in of]
        if field.type:
            yield replace(field, only_of=", ".join([of[0], *names[1:]]))
        else:
            yield replace(field, type=" or ".join(names))


def _paragraph(field: RecipeField) -> Iterator[str]:
    value = "required" if field.default is None else f"default {field.default}"
    only = f"; for {field.only_of}" if field.only_of else ""
    yield f"{field.name}  ({field.type}; {value}{only})"
    wrapped = textwrap.wrap(field.text.replace("``", "`"), _WIDTH, break_on_hyphens=False)
    yield from (f"    {line}" for line in wrapped)
