"""How a recipe is read: YAML, checked before any work starts, with overrides.

Goes in: a file, fields, and overrides such as ``train.steps=100``; comes out: a frozen recipe, or a ValueError in one
line. Files are from outside: of bounded size and depth, without aliases and object construction.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from schemas.recipe_fields import what_is_meant, written_name

MAX_RECIPE_BYTES = 1_000_000
MAX_DEPTH = 50
MOST_FAULTS = 3  # that are told: in a recipe for another command, nearly every field is one
_OPENING = (
    *(yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken),
    *(yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken),
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


class Recipe(BaseModel):
    """Base of every recipe: frozen, keyword-only, no unknown field; the text under a field is its documentation."""

    # No infinity: JSON has none, and a saved recipe would be another one when it is read.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def load_recipe(
    recipe_type: type[AnyRecipe],
    path: str | Path | None,
    overrides: tuple[str, ...] = (),
    fields: dict[str, Any] | None = None,
) -> AnyRecipe:
    """The recipe in the YAML file at ``path`` (or of ``fields``), with overrides such as ``"train.steps=100"`` applied.

    Raises ValueError in one line where the file is missing, is no mapping, has an unknown field or a bad value.
    """
    resolved = dict(fields or {}) if path is None else read_yaml(Path(path))
    for override in overrides:
        _apply_override(resolved, override)
    try:
        return recipe_type.model_validate(resolved)
    except ValidationError as error:
        raise ValueError(f"recipe {path or 'of the command line'}: {explain(error, recipe_type)}") from None


def make_recipe(recipe_type: type[AnyRecipe], place: str, fields: dict[str, Any], **own: Any) -> AnyRecipe:
    """The recipe of ``fields``, which stand at ``place`` of another recipe (such as ``train``), and of ``own``, which
    the job sets itself.

    ValueError as :func:`load_recipe`, and where a field is in both.
    """
    if taken := sorted(fields.keys() & own.keys()):
        raise ValueError(f"{place}: {', '.join(taken)} cannot be given here, the job sets it; leave it out")
    try:
        return recipe_type.model_validate({**fields, **own})
    except ValidationError as error:
        raise ValueError(f"{place}: {explain(error, recipe_type)}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping of bounded size and depth, without aliases and object construction; ValueError as of
    :func:`load_recipe`."""
    if not path.is_file():
        is_there = (
            "is a folder; give a file of it"
            if path.is_dir()
            else "does not exist; the project's repository has examples in recipes/"
        )
        raise ValueError(f"recipe {path} {is_there}")
    if path.stat().st_size > MAX_RECIPE_BYTES:
        raise ValueError(f"recipe {path} has {path.stat().st_size} bytes; a recipe has at most {MAX_RECIPE_BYTES}")
    try:
        fields = _load_yaml(path.read_text(encoding="utf-8"))
    except _RefusedError as error:
        raise ValueError(f"recipe {path} {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # the latter of what is no UTF-8, no date or too long a number
        raise ValueError(f"recipe {path} is not YAML: {' '.join(str(error).split())[:500]}") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise ValueError(f"recipe {path} is a {type(fields).__name__}; a recipe is a mapping of fields to values")
    return fields


class _RefusedError(yaml.YAMLError):
    """What YAML allows and a recipe does not need."""


class _Loader(yaml.SafeLoader):
    """YAML without object construction, in which a field is given once: of two values the last would count, unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None:
            raise _RefusedError(f"gives the field {twice!r} twice in one mapping; leave one of the two")
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def _load_yaml(text: str) -> Any:
    """The value of a YAML text; YAMLError or ValueError for what is none. Bombs are refused while they are read."""
    depth = 0
    for token in yaml.scan(text):
        if isinstance(token, yaml.AliasToken):
            raise _RefusedError("uses a YAML alias (*name), which recipes do not allow; write the value out")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise _RefusedError(f"is nested more than {MAX_DEPTH} deep, which no recipe is")
    return yaml.load(text, Loader=_Loader)  # safe_load, with a rule more


def _apply_override(fields: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ValueError(f"--set takes FIELD=VALUE such as train.steps=100, not {override!r}")
    *parents, leaf = name.split(".")
    for parent in parents:
        fields = fields.setdefault(parent, {})
        if not isinstance(fields, dict):
            raise ValueError(f"--set {override}: {parent!r} has no fields of its own; give its whole value")
    try:
        fields[leaf] = _load_yaml(text)
    except (yaml.YAMLError, ValueError):
        fields[leaf] = text


def explain(error: ValidationError, recipe: type[BaseModel] | None = None) -> str:
    """A pydantic error in one line a person can act on: each field with what was wanted and what came.

    Where the class of the ``recipe`` is given, an unknown field is told with the one that may be meant. Of many faults
    the first are told, and the number of the others.
    """
    faults = error.errors()
    told = [_sentence(item, recipe) for item in faults[:MOST_FAULTS]]
    more = len(faults) - len(told)
    return "; ".join([*told, *([f"and {more} more"] if more else [])])


def _sentence(item: ErrorDetails, recipe: type[BaseModel] | None) -> str:
    field = written_name(recipe, item["loc"]) or "(the whole)"
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            meant = "" if recipe is None else f"; {what_is_meant(recipe, item['loc'])}"
            return f"unknown field {field!r}{meant}"
        case "missing":
            return f"field {field!r} is missing"
        case "union_tag_not_found":
            return f"field {field!r} does not say its kind: wanted a mapping with a field {context['discriminator']}"
        case "union_tag_invalid":
            name = context["discriminator"].strip("'")
            return f"field '{field}.{name}': no {context['tag']!r}; there are: {context['expected_tags']}"
        case "model_type" | "model_attributes_type":
            return f"field {field!r} is a mapping of fields to values (came: {_what_came(item['input'])})"
        case "tuple_type" | "list_type":
            return f"field {field!r} is a list, such as [a, b] (came: {_what_came(item['input'])})"
        case "string_type" if isinstance(item["input"], int | float):
            return f"field {field!r} is text, not the number {item['input']}: put it in quotes"
        case "value_error" if isinstance(item["input"], dict):  # of several fields, which our own sentence names
            return str(context["error"]) if not item["loc"] else f"field {field!r}: {context['error']}"
    return f"field {field!r}: {item['msg'].removeprefix('Value error, ')} (came: {_what_came(item['input'])})"


def _what_came(value: Any) -> str:
    """At most 80 characters; of a mapping the names alone, since values may be secret."""
    return repr((", ".join(map(str, value)) if isinstance(value, dict) else str(value))[:80])
