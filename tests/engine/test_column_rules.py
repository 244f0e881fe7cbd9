"""Rules on a source's own columns: what is at a limit is taken, what is beyond it is told by column and side."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from engine.sources.own_columns import OwnColumns
from schemas.column_rules import ColumnRule
from schemas.recipes import LabelRecipe, UrlsSource

RULES: dict[str, tuple[dict[str, Any], list[Any], dict[Any, str]]] = {
    "min": ({"min": 0.3}, [0.3, 1, "0.31", " 3e-1 ", Decimal("0.3"), 10**400], {0.29: "below_min", "-1": "below_min"}),
    "max": ({"max": 0.5}, [0.5, -1, "0", "-inf"], {0.51: "above_max", "1e9": "above_max", "inf": "above_max"}),
    "both": ({"min": 1, "max": 2}, [1, 2.0, "1.5"], {0: "below_min", 3: "above_max", "wide": "not_a_number"}),
    "texts": ({"one_of": ["en", "no"]}, ["en", " no "], {"de": "not_wanted", "EN": "not_wanted", 1: "not_wanted"}),
    "numbers": ({"one_of": [1, 2.5]}, [1, 1.0, "1", "2.50"], {2: "not_wanted", "x": "not_wanted"}),
    "others": ({"none_of": ["NSFW", 0]}, ["UNLIKELY", 1], {"NSFW": "not_wanted", "0": "not_wanted"}),
    "truth": ({"one_of": ["true"]}, [True, "true"], {False: "not_wanted", 1: "not_wanted"}),
    "together": ({"none_of": [-1], "max": 9}, [0, 9], {-1: "not_wanted", 10: "above_max"}),
}


def keeping(rules: dict[str, ColumnRule]) -> OwnColumns:
    return OwnColumns(UrlsSource(uri="x", keep=rules))


NESTED: list[Any] = []
for _ in range(100_000):  # deeper than any Python can show
    NESTED = [NESTED]
NO_VALUES = [None, float("nan"), "", "  ", NESTED]


@pytest.mark.parametrize("name", RULES)
def test_a_rule_takes_what_is_at_its_limit_and_names_what_is_beyond(name: str) -> None:
    fields, taken, others = RULES[name]
    rules = keeping({"c": ColumnRule(**fields)})
    assert [value for value in taken if rules.broken_by({"c": value})] == []
    found = {value: problem.reason if (problem := rules.broken_by({"c": value})) else "" for value in others}
    assert found == {value: f"column_c_{side}" for value, side in others.items()}


@pytest.mark.parametrize("fields", [{"min": 0}, {"one_of": ["x"]}, {"none_of": ["x"]}])
@pytest.mark.parametrize("row", [{}, *({"c": value} for value in NO_VALUES)])
def test_no_value_is_a_reject_unless_the_rule_keeps_it(fields: dict[str, Any], row: dict[str, Any]) -> None:
    problem = keeping({"c": ColumnRule(**fields)}).broken_by(row)
    assert problem is not None
    assert problem.reason == "column_c_missing"
    assert keeping({"c": ColumnRule(**fields, missing="keep")}).broken_by(row) is None


def test_a_number_that_is_spelled_nan_is_no_value() -> None:
    problem = keeping({"c": ColumnRule(min=0)}).broken_by({"c": "nan"})
    assert problem is not None
    assert problem.reason == "column_c_missing"


def test_the_message_tells_the_value_and_what_is_wanted() -> None:
    problem = keeping({"punsafe": ColumnRule(max=0.5)}).broken_by({"punsafe": "0.75"})
    assert problem is not None
    assert problem.message == "column 'punsafe' is '0.75', at most 0.5 is wanted (source.keep)"


def test_of_several_columns_the_first_by_name_gives_the_reason() -> None:
    rules = keeping({"b": ColumnRule(min=1), "a": ColumnRule(min=1)})
    problem = rules.broken_by({"a": 0, "b": 0})
    assert problem is not None
    assert problem.reason == "column_a_below_min"
    assert rules.broken_by({"a": 1, "b": 1}) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "a rule needs min, max, one_of or none_of"),
        ({"missing": "keep"}, "a rule needs min, max, one_of or none_of"),
        ({"min": 2, "max": 1}, "min 2 is more than max 1"),
        ({"min": float("nan")}, "finite number"),
        ({"one_of": [False]}, "false is a truth value; put the word in quotes"),
    ],
)
def test_a_rule_that_rules_nothing_or_cannot_hold_is_refused(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        ColumnRule(**fields)


def test_rules_are_written_as_they_are_read() -> None:
    with_rules = UrlsSource.model_validate({"uri": "x", "keep": {"similarity": {"min": 0.3}}})
    assert with_rules.model_dump(mode="json")["keep"] == {"similarity": {"min": 0.3}}
    assert UrlsSource.model_validate(with_rules.model_dump(mode="json")) == with_rules


def test_the_recipe_of_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs/sources.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    source = LabelRecipe.model_validate(yaml.safe_load(recipe)).source
    assert isinstance(source, UrlsSource)
    assert source.keep.keys() >= set(source.carry) == {"clip_similarity_vitb32"}
