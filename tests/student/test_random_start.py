"""A run that begins with random weights: drawn by its seed, as large as its vocabulary, with the towers it names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.mix import Mix
from glip.checkpoint import load_model
from glip.model import GLIP
from schemas.recipes import TrainRecipe
from student.session import build
from student.warm_start import IMAGE_TOWER, TEXT_TOWER
from student.workers import Workers


@pytest.fixture
def recipe(small_recipe: TrainRecipe) -> TrainRecipe:
    fields = {"init": "random:nano", "tokenizer": str(Path(small_recipe.init) / "tokenizer.json")}
    return small_recipe.model_copy(update=fields)


def _started(recipe: TrainRecipe, mix: Mix, chance: int = 0) -> GLIP:
    """The model of a run that begins where torch's generator has drawn other numbers before."""
    torch.manual_seed(chance)
    return build(recipe, mix, Workers(torch.device("cpu"))).raw


def test_the_weights_are_a_function_of_the_seed(recipe: TrainRecipe, mix: Mix) -> None:
    first, again = (_started(recipe, mix, chance).state_dict() for chance in (1, 2))
    other = _started(recipe.model_copy(update={"seed": 1}), mix).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_the_model_has_an_embedding_for_each_word_of_the_vocabulary(
    recipe: TrainRecipe, small_recipe: TrainRecipe, mix: Mix
) -> None:
    words = load_model(small_recipe.init).tokenizer.vocabulary_size
    assert len(_started(recipe, mix).language_backbone.word_embeddings) == words


def test_it_begins_from_the_towers_that_the_recipe_names_and_elsewhere_from_its_seed(
    recipe: TrainRecipe, mix: Mix, tmp_path: Path
) -> None:
    plain = _started(recipe, mix).state_dict()
    published = _started(recipe.model_copy(update={"seed": 5}), mix).state_dict()
    named = {"image_tower": IMAGE_TOWER, "text_tower": TEXT_TOWER}
    for field, tower in named.items():
        weights: dict[str, Tensor] = {
            name.removeprefix(tower): value for name, value in published.items() if name.startswith(tower)
        }
        save_file(weights, tmp_path / f"{field}.safetensors")
    files = {field: str(tmp_path / f"{field}.safetensors") for field in named}
    for name, value in _started(recipe.model_copy(update=files), mix).state_dict().items():
        expected = published if name.startswith(tuple(named.values())) else plain
        assert torch.equal(value, expected[name]), name
