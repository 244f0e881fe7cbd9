"""Which rows of a source are taken, by columns that the source has itself: ``source.keep`` of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from schemas.recipe_files import Recipe

Bound = Annotated[float, Field(allow_inf_nan=False)]


def _no_truth_value(value: object) -> object:
    """Refuse truth values: YAML reads ``no``, which may be Norwegian, as false."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is a truth value; put the word in quotes ('no', or 'false')")
    return value


ColumnValue = Annotated[str | int | Bound, BeforeValidator(_no_truth_value)]


class ColumnRule(Recipe):
    """What a row's value in one column must be; all given rules apply. Numbers may be given as text. Null, NaN, text of
    only white space and a missing field count as no value."""

    min: Bound | None = None
    """The value must be a number, and at least this (``column_NAME_below_min``, ``column_NAME_not_a_number``)."""
    max: Bound | None = None
    """The value must be a number, and at most this (``column_NAME_above_max``)."""
    one_of: tuple[ColumnValue, ...] = ()
    """The value must be one of these (``column_NAME_not_wanted``), with text exactly as written; write truth values as
    ``'true'`` or ``'false'``."""
    none_of: tuple[ColumnValue, ...] = ()
    """The value must be none of these (``column_NAME_not_wanted``)."""
    missing: Literal["reject", "keep"] = "reject"
    """Whether to reject (``column_NAME_missing``) or keep a row without a value."""

    @model_validator(mode="after")
    def _rules_something(self) -> ColumnRule:
        if self.min is None and self.max is None and not self.one_of and not self.none_of:
            raise ValueError("a rule needs min, max, one_of or none_of")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is more than max {self.max:g}, so no row would be kept")
        return self

    @model_serializer(mode="wrap")
    def _what_is_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only the rules that are given, so that adding another kind of rule later changes no digest."""
        fields: dict[str, Any] = serialize(self)
        return {name: value for name, value in fields.items() if getattr(self, name) != _DEFAULTS[name]}


_DEFAULTS = {name: field.default for name, field in ColumnRule.model_fields.items()}
