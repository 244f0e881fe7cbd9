"""Makes the shipped nano model: ``python -m pipelines.shipped.nano --out runs/nano`` (``make nano``).

Datasets, vocabulary, training in two stages, evaluation, export to ``glip/pretrained/nano``. Finished steps are not
done again, so that a stopped run resumes. Nano learns from drawn scenes and from human-annotated photos of the data
folder (``GLIP_ENGINE_DATA``). Nothing marked *scoring only* is read; the validation photos are only used to evaluate.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.gold import import_gold
from pipelines.shipped import DATA, RECIPES
from pipelines.shipped.nano_card import ship
from pipelines.shipped.vocabulary import train_vocabulary
from pipelines.train import TrainResult, train
from schemas.recipes import ScenesSource, TrainRecipe, load_recipe

STAGES = ("nano", "nano_packed")
SCENES = ScenesSource(count=40_000, seed=7)  # held-out scenes have another seed
PHOTOS = {
    "photos-detection": ("coco", "photos/human"),
    "photos-phrases": ("coco-phrases", "photos/human"),
    "openimages5": ("coco", "openimages5/train"),
}


def nano(out: Path, data: Path, workers: int | None = None) -> TrainResult:
    """Make the nano model in the folder ``out`` from the folder ``data``, and ship it. ``workers`` as in ``train``."""
    make_datasets(out / "data", data)
    vocabulary = out / "tokenizer.json"
    if not vocabulary.exists():
        train_vocabulary(data, SCENES, vocabulary)
    first, last = STAGES
    start = train_stage(first, out, {"tokenizer": str(vocabulary)}, workers)
    result = train_stage(last, out, {"init": start.checkpoint}, workers)
    made = f"{start.steps} steps of `recipes/{first}.yaml` from random weights, then {result.steps} of `{last}.yaml`"
    ship(result.checkpoint, out / "data", data, SCENES, made)
    return result


def train_stage(name: str, out: Path, fields: dict[str, str], workers: int | None) -> TrainResult:
    """Train by ``recipes/NAME.yaml`` into ``out/NAME``; the names of its mix are folders in ``out/data``."""
    recipe = load_recipe(TrainRecipe, RECIPES / f"{name}.yaml")
    mix = tuple(entry.model_copy(update={"dataset": str(out / "data" / entry.dataset)}) for entry in recipe.mix)
    return train(recipe.model_copy(update={"mix": mix, **fields}), out / name, workers=workers)


def make_datasets(folder: Path, data: Path) -> None:
    """Import nano's training data into ``folder``, with a subfolder for each dataset of the recipe's mix."""
    for name, (format, source) in PHOTOS.items():
        import_gold(format, data / source, folder / name)
    import_gold("scenes", SCENES, folder / "scenes")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the shipped nano model: datasets, vocabulary, training.")
    parser.add_argument("--out", type=Path, default=Path("runs/nano"), help="folder of the run; resumed if unfinished")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the real data")
    parser.add_argument("--workers", type=int, help="training processes (default 1)")
    options = parser.parse_args()
    result = nano(options.out, options.data, options.workers)
    print(f"nano: {result.checkpoint}, {result.steps} steps, {result.images_per_second:.1f} images/s")


if __name__ == "__main__":
    main()
