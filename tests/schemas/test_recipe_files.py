"""How a recipe's file is read: what a person may have meant in two ways is refused, and no file takes the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.recipe_files import read_yaml
from schemas.recipes import FolderSource, LabelRecipe, ScenesSource, WebDatasetSource, load_recipe


@pytest.mark.parametrize(
    "text",
    [
        "unit_size: 3\nmin_score: 0.1\nunit_size: 4\n",
        "teacher: {device: cpu, device: cuda}\n",
        "teacher:\n  device: cpu\nteacher:\n  batch_size: 2\n",
    ],
)
def test_a_field_that_is_given_twice_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "label.yaml"
    path.write_text(f"source: {{kind: scenes}}\n{text}")
    with pytest.raises(ValueError, match=r"gives the field '(unit_size|device|teacher)' twice in one mapping"):
        load_recipe(LabelRecipe, path)


def test_fields_of_one_name_in_two_mappings_are_two_fields(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text("- {a: 1}\n- {a: 2}\n")
    with pytest.raises(ValueError, match="is a list; a recipe is a mapping"):
        read_yaml(path)
    path.write_text("b: [{a: 1}, {a: 2}]\nc: {a: 3}\n")
    assert read_yaml(path) == {"b": [{"a": 1}, {"a": 2}], "c": {"a": 3}}


def test_what_unfolds_or_nests_without_end_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text("a: &a [x, x]\nb: [*a, *a]\n")
    with pytest.raises(ValueError, match="uses a YAML alias"):
        read_yaml(path)
    path.write_text("a: " + "[" * 60 + "]" * 60)
    with pytest.raises(ValueError, match="is nested more than 50 deep"):
        read_yaml(path)


@pytest.mark.parametrize("source", [ScenesSource(), WebDatasetSource(uri="tars"), FolderSource(uri="photos")])
def test_a_recipe_that_is_saved_states_every_field(source: ScenesSource | WebDatasetSource | FolderSource) -> None:
    recipe = LabelRecipe(source=source)
    for part in (recipe, recipe.source, recipe.teacher, recipe.filters):
        assert part.model_dump().keys() == type(part).model_fields.keys()
