"""Every recipe of the folder ``recipes/`` is read by the command that it is for, as a user would have it read."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.few_shot_recipes import FewShotRecipe
from schemas.recipe_files import Recipe
from schemas.recipes import GenerationRecipe, TrainRecipe, load_recipe
from schemas.retrain_recipes import RetrainRecipe

RECIPES = Path(__file__).parents[2] / "recipes"
SHIPPED: dict[str, type[Recipe]] = {
    "demo": GenerationRecipe,
    "few_shot_raccoon": FewShotRecipe,
    "glip_l_27m": TrainRecipe,
    "glip_t": TrainRecipe,
    "nano": TrainRecipe,
    "nano_packed": TrainRecipe,
    "own_detector": TrainRecipe,
    "photos": GenerationRecipe,
    "photos_openimages": TrainRecipe,
    "retrain": RetrainRecipe,
}


def test_no_recipe_is_forgotten() -> None:
    assert {path.stem for path in RECIPES.iterdir()} == SHIPPED.keys()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_is_read_by_its_command(name: str) -> None:
    assert load_recipe(SHIPPED[name], RECIPES / f"{name}.yaml")
