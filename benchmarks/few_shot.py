"""How well does nano carry over to a class that it has never seen? ODinW's Raccoon: zero-shot, few-shot, full.

    python benchmarks/few_shot.py                # one CPU core; see --scale
    python benchmarks/few_shot.py --scale 0.1    # a quick look

The published split of the 200 photos (``train_labels.csv``, ``test_labels.csv`` of the data folder): the test part is
only scored. The recipe is ``recipes/few_shot_raccoon.yaml``; its rates were chosen with ``--develop``, which takes the
last quarter of the training part in place of the test part. All stands in ``--out`` and is gone on with.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import torch
from real_data import real_data

from engine.gold import import_gold
from pipelines.few_shot import few_shot
from schemas.few_shot_recipes import FewShotRecipe
from schemas.recipes import load_recipe

RECIPE = Path(__file__).parents[1] / "recipes" / "few_shot_raccoon.yaml"


def main() -> int:
    options = _options()
    torch.set_num_threads(options.threads)
    out = Path(options.out)
    names = {part: _names(part) for part in ("train", "test")}
    if options.develop:
        kept = len(names["train"]) * 3 // 4
        names = {"train": names["train"][:kept], "test": names["train"][kept:]}
    for part in names:
        _import_part(part, set(names[part]), out / "data")
    steps = load_recipe(FewShotRecipe, RECIPE).train["steps"]
    folders = (f"{part}: {out / 'data' / f'raccoon-{part}'}" for part in ("train", "test"))
    overrides = [f"datasets=[{{name: raccoon, {', '.join(folders)}}}]"]
    overrides += [f"train.steps={max(2, round(options.scale * steps))}", *options.set]
    few_shot(load_recipe(FewShotRecipe, RECIPE, tuple(overrides)), out)
    return 0


def _names(part: str) -> list[str]:
    """The photos of a part of the published split."""
    with real_data(f"raccoon/{part}_labels.csv").open(newline="") as file:
        return sorted({row["filename"] for row in csv.DictReader(file)})


def _import_part(part: str, names: set[str], out: Path) -> None:
    """Import the photos with these names as a dataset."""
    annotations = json.loads(real_data("raccoon/instances.json").read_text())
    annotations["images"] = [image for image in annotations["images"] if image["file_name"] in names]
    numbers = {image["id"] for image in annotations["images"]}
    annotations["annotations"] = [one for one in annotations["annotations"] if one["image_id"] in numbers]
    folder = out / f"raccoon-{part}-json"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "instances.json").write_text(json.dumps(annotations))
    card = import_gold("coco", folder, out / f"raccoon-{part}", images=real_data("raccoon/images"))
    print(f"raccoon-{part}: {card.samples} pictures, {card.boxes} boxes")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/few_shot", help="folder of all that is made; gone on with")
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    parser.add_argument("--develop", action="store_true", help="score a part of the training photos, not the test part")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="as of `glip-engine few-shot`"
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
