"""How the shipped nano model is made: ``python -m pipelines.nano --out runs/nano`` (``make nano``).

Datasets, vocabulary, training, evaluation, export to ``glip/pretrained/nano``. What has been done is not
done again, so a stopped run goes on where it was. It learns from drawn scenes and from human-annotated photos of the
data folder (``GLIP_ENGINE_DATA``). Nothing marked *scoring only* is read; the validation photos only evaluate.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from engine.gold import import_gold
from pipelines.nano_card import examine, ship
from pipelines.train import TrainResult, train
from pipelines.vocabulary import train_vocabulary
from schemas.recipes import ScenesSource, TrainRecipe, load_recipe

DATA = Path(os.environ.get("GLIP_ENGINE_DATA", Path(__file__).parents[2] / "shared" / "data"))
RECIPE = Path(__file__).parents[1] / "recipes" / "nano.yaml"
SCENES = ScenesSource(count=40_000, seed=7)  # held-out scenes are those of another seed
PHOTOS = {
    "photos-detection": ("coco", "photos/human"),
    "photos-phrases": ("coco-phrases", "photos/human"),
    "openimages5": ("coco", "openimages5/train"),
}


def nano(out: Path, data: Path, overrides: tuple[str, ...] = ()) -> TrainResult:
    """Make the nano model in the folder ``out`` from the folder ``data``, and ship it; ``overrides`` of the recipe."""
    make_datasets(out / "data", data)
    vocabulary = out / "tokenizer.json"
    if not vocabulary.exists():
        train_vocabulary(data, SCENES, vocabulary)
    recipe = load_recipe(TrainRecipe, RECIPE, overrides)
    mix = tuple(entry.model_copy(update={"dataset": str(out / "data" / entry.dataset)}) for entry in recipe.mix)
    result = train(recipe.model_copy(update={"mix": mix, "tokenizer": str(vocabulary)}), out / "train")
    ship(result.checkpoint, examine(result.checkpoint, out / "data", data), SCENES, f"{result.steps} steps")
    return result


def make_datasets(folder: Path, data: Path) -> None:
    """Import what nano learns from into ``folder``, a dataset a subfolder; the recipe's mix names them."""
    for name, (format, source) in PHOTOS.items():
        import_gold(format, data / source, folder / name)
    import_gold("scenes", SCENES, folder / "scenes")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the shipped nano model: datasets, vocabulary, training.")
    parser.add_argument("--out", type=Path, default=Path("runs/nano"), help="folder of the run; gone on with")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the real data")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="overrides of the recipe")
    options = parser.parse_args()
    result = nano(options.out, options.data, tuple(options.set))
    print(f"nano: {result.checkpoint}, {result.steps} steps, {result.images_per_second:.1f} images/s")


if __name__ == "__main__":
    main()
