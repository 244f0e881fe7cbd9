"""Photos and OpenImages in one mix with weights: the shipped recipe trains, on exactly the shares that it states."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import yaml

from engine.gold import import_gold
from engine.mix import Mix
from glip.checkpoint import load_model
from pipelines.train import train
from schemas.recipes import TrainRecipe

RECIPE = Path(__file__).parents[2] / "recipes" / "photos_openimages.yaml"


@pytest.mark.data
def test_the_recipe_of_two_human_sources_trains_on_its_shares(data_folder: Path, tmp_path: Path) -> None:
    fields = yaml.safe_load(RECIPE.read_text())
    sources = {
        "photos-phrases": ("coco-phrases", data_folder / "photos" / "val"),
        "photos-detection": ("coco", data_folder / "photos" / "val"),
        "openimages5": ("coco", data_folder / "openimages5" / "val"),
    }
    for entry in fields["mix"]:
        name = Path(entry["dataset"]).name
        import_gold(*sources[name], tmp_path / name)
        entry["dataset"] = str(tmp_path / name)
    recipe = TrainRecipe.model_validate({**fields, "steps": 2, "batch_size": 4, "min_sizes": [96], "max_size": 160})
    mix = Mix.open(recipe.mix, recipe.seed, recipe.sampling)
    drawn = Counter(mix.datasets[mix.sample_ref(position).dataset].name for position in range(40))
    mix.close()
    assert drawn == {"photos-phrases": 20, "photos-detection": 10, "openimages5": 10}
    result = train(recipe, tmp_path / "run", progress=False)
    assert all(math.isfinite(value) for value in result.losses.values())
    assert len(load_model(result.checkpoint).metadata["parents"]) == 3
