"""The fields of a recipe by their full names: to list them for a person, and to find the one that a wrong name means.

In: a recipe's class. Out: its fields as ``--set`` writes them (``teacher.checkpoint``), with type, default and text, as
the JSON Schema that pydantic makes of the class has them.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]
Location = Sequence[int | str]
_NAMED = "<name>"


@dataclass(frozen=True, slots=True)
class RecipeField:
    """``name`` is dotted, with ``[]`` after a list and ``<name>`` for what a recipe names itself; ``default`` is JSON,
    and None where a value has to be given.

    ``only_of`` is the choice that has the field, such as the kind of a source; empty where all have it.
    """

    name: str
    type: str
    default: str | None
    text: str
    only_of: str = ""


def fields_of(recipe: type[BaseModel]) -> list[RecipeField]:
    """Every field in the order of the class, those of the recipes within it in their place."""
    schema = recipe.model_json_schema()
    return list(_fields(schema, schema.get("$defs", {}), "", "", ()))


def _fields(schema: Schema, defs: Schema, prefix: str, only_of: str, inside: tuple[str, ...]) -> Iterator[RecipeField]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        default = None if name in required else json.dumps(field.get("default"), ensure_ascii=False)
        nested = [one for one in _nested(field, defs) if one[0] not in inside]
        if not nested or "description" in field:
            text = " ".join(field.get("description", "").split())
            yield RecipeField(prefix + name, _type(field), default, text, only_of)
        dots = f"{name}[]." if "items" in field else f"{name}.{_NAMED}." if _values(field) else f"{name}."
        for reference, choice in nested:
            yield from _fields(defs[reference], defs, prefix + dots, choice or only_of, (*inside, reference))


def _nested(field: Schema, defs: Schema) -> list[tuple[str, str]]:
    """The recipes that a field, or each item of a list, holds: the name of the definition, and of the choice it is."""
    if "items" in field:
        return _nested(field["items"], defs)
    if _values(field):
        return _nested(_values(field), defs)
    if "discriminator" in field:
        name = field["discriminator"]["propertyName"]
        mapping: dict[str, str] = field["discriminator"]["mapping"]
        return [(path.rpartition("/")[2], f"{name}: {choice}") for choice, path in mapping.items()]
    references = [one["$ref"].rpartition("/")[2] for one in (field, *field.get("anyOf", ())) if "$ref" in one]
    return [(one, "") for one in references if "properties" in defs[one]]


def _values(field: Schema) -> Schema:
    """The schema of the values of a mapping with free keys, where those values are recipes; empty otherwise."""
    values = field.get("additionalProperties")
    return values if isinstance(values, dict) and "$ref" in values else {}


def _type(field: Schema) -> str:
    """In words: ``integer``, ``a or b`` of choices, ``list of string``, ``number or null``."""
    if "const" in field:
        return json.dumps(field["const"])
    if "enum" in field:
        return " or ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(one) for one in field["anyOf"]))
    if field.get("type") == "array":
        items = _type(field.get("items", {}))
        return "list" if items == "any" else f"list of {items}"
    return str(field.get("type") or ("mapping" if "$ref" in field or "discriminator" in field else "any"))


def written_name(recipe: type[BaseModel] | None, location: Location) -> str:
    """A field's place as the writer of the recipe knows it: pydantic's location without the choice that it puts after
    ``source``."""
    return ".".join(map(str, _written(fields_of(recipe) if recipe is not None else [], location)))


def _written(fields: Sequence[RecipeField], location: Location) -> list[int | str]:
    choices = {(field.name.replace("[]", "").rpartition(".")[0], field.only_of.partition(": ")[2]) for field in fields}
    steps: list[int | str] = []
    for step in location:
        place = ".".join(one for one in steps if isinstance(one, str))
        if (place, step) not in choices:
            steps.append(step)
    return steps


def what_is_meant(recipe: type[BaseModel], location: Location) -> str:
    """The end of the sentence about an unknown field: the similar name at this place, else the same name elsewhere,
    else all names that this place has."""
    fields = fields_of(recipe)
    *parents, wrong = _written(fields, location)
    place = _place(fields, [step for step in parents if isinstance(step, str)])
    names = {field.name.replace("[]", ""): field.name for field in fields}
    below = (name.removeprefix(place) for name in names if name.startswith(place))
    beside = list(dict.fromkeys(name.partition(".")[0] for name in below))
    like = difflib.get_close_matches(str(wrong), beside, n=1)
    elsewhere = [full for name, full in names.items() if name.rpartition(".")[2] == wrong]
    if like:
        return f"did you mean {'.'.join(map(str, [*parents, *like]))!r}?"
    if elsewhere:
        return f"did you mean {' or '.join(map(repr, elsewhere))}?"
    return f"there are: {', '.join(beside)}"


def _place(fields: Sequence[RecipeField], parents: Sequence[str]) -> str:
    """The beginning of the names of the fields under ``parents``, with ``<name>`` for a free key of a mapping."""
    place = ""
    for step in parents:
        itself = any(field.name.replace("[]", "").startswith(f"{place}{step}.") for field in fields)
        place += f"{step}." if itself else f"{_NAMED}."
    return place
