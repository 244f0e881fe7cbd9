"""``--fields``: every field of a command's recipe with its type, default and meaning, instead of doing anything."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator, Sequence
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


def field_text(recipe: type[Recipe], beginning: str = "") -> str:
    """A paragraph a field; empty where none begins so."""
    chosen = [field for field in _with_choices_together(fields_of(recipe)) if field.name.startswith(beginning)]
    return "".join(f"{line}\n" for field in chosen for line in _paragraph(field))


def _with_choices_together(fields: Sequence[RecipeField]) -> Iterator[RecipeField]:
    """The fields, where one that tells choices apart, as the kind of a source, comes once and names them all."""
    choices: dict[str, list[str]] = {}
    for field in fields:
        if field.type.startswith('"'):
            choices.setdefault(field.name, []).append(json.loads(field.type))
    for field in fields:
        if not field.type.startswith('"'):
            yield field
        elif field.name in choices:
            yield replace(field, type=" or ".join(choices.pop(field.name)), default=None, only_of="")


def _paragraph(field: RecipeField) -> Iterator[str]:
    value = "required" if field.default is None else f"default {field.default}"
    only = f"; for {field.only_of}" if field.only_of else ""
    yield f"{field.name}  ({field.type}; {value}{only})"
    wrapped = textwrap.wrap(field.text.replace("``", "`"), _WIDTH, break_on_hyphens=False)
    yield from (f"    {line}" for line in wrapped)
