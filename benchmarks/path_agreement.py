"""Whether the fast paths of a teacher find what its fp32 finds: COCO AP of their boxes with the fp32 ones as the truth.

    python benchmarks/path_agreement.py --scenes 60 --paths bf16 compiled
    python benchmarks/path_agreement.py --device cuda --scenes 300 --one-shape --paths bf16 compiled graphs

The shipped nano, or --checkpoint, is asked for every kind of the scenes world on drawn scenes that it was not trained
on. Truth is what it finds in fp32, not compiled, with a score above --score; the other paths' boxes count from a score
of 0.05 on, as a labelling job stores them. --one-shape takes scenes of the commonest padded shape alone, and the first
forty kinds: a compiled path has a graph for each shape, and that takes its time. Prints AP (IoU 0.50:0.95) and AP50 of
each path, and the time it took; a path that fails is told and left out.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

import torch
from speed_measures import attempt

from engine.metrics import ImageResult
from engine.metrics.detection import average_precision
from engine.sources.scenes import KINDS, Scenes
from pipelines.evaluation.answers import class_prompts
from schemas.pictures import open_picture_file
from schemas.recipes import ScenesSource, TeacherRecipe
from schemas.records import CaptionedImage, Grounding, GroundingRequest, UnitRef
from schemas.shards import SampleBox, SampleLabels, SamplePhrase
from teacher.grounder import open_grounder
from teacher.worker import TeacherWorker

PATHS: dict[str, TeacherRecipe] = {
    "fp32": TeacherRecipe(precision="fp32"),
    "fp32 again": TeacherRecipe(precision="fp32"),
    "compiled fp32": TeacherRecipe(precision="fp32", compile=True),
    "bf16": TeacherRecipe(precision="bf16"),
    "compiled": TeacherRecipe(precision="bf16", compile=True),
    "graphs": TeacherRecipe(precision="bf16", compile="reduce-overhead"),
}
SEED = 20_000  # a world that no model is trained on
MIN_SCORE, CHUNK = 0.05, 40
CLASSES = tuple(KINDS)


def main() -> None:
    options = _options()
    common = {"checkpoint": options.checkpoint, "device": options.device, "threads": options.threads}
    recipes = {name: PATHS[name].model_copy(update={**common, "batch_size": options.batch}) for name in PATHS}
    classes = CLASSES[:CHUNK] if options.one_shape else CLASSES
    pictures = drawn(options.scenes, recipes["fp32"], one_shape=options.one_shape)
    truth: list[SampleLabels] = []
    print(f"{options.checkpoint}, {len(pictures)} scenes, {options.device}, torch {torch.__version__}", flush=True)
    for name in ("fp32", *options.paths):
        started = time.perf_counter()
        ask = partial(answers, recipes[name], pictures, classes)
        found = attempt(ask, name, {}) if truth else ask()
        if found is None:
            continue
        seconds = time.perf_counter() - started
        truth = truth or [labels_of(one, classes, options.score) for one in found]
        pairs = zip(truth, found, strict=True)
        figures = average_precision([ImageResult(labels, one.candidates) for labels, one in pairs], classes)
        values = {value.name: value.value for value in figures.values}
        boxes = sum(len(labels.boxes) for labels in truth)
        print(
            f"{name:<14} AP {values['AP']:.4f}  AP50 {values['AP50']:.4f}  of {boxes} boxes, {seconds:.1f} s",
            flush=True,
        )


def drawn(count: int, recipe: TeacherRecipe, *, one_shape: bool) -> list[CaptionedImage]:
    """The scenes; with `one_shape` only those with the most common padded shape."""
    source = Scenes(ScenesSource(count=count, seed=SEED))
    pictures = [one for one in source.read(UnitRef(0, "", 0, count)) if isinstance(one, CaptionedImage)]
    if not one_shape:
        return pictures
    grounder = open_grounder(recipe)
    buckets = [grounder.bucket(*open_picture_file(picture.image).size) for picture in pictures]
    commonest = Counter(buckets).most_common(1)[0][0]
    return [picture for picture, bucket in zip(pictures, buckets, strict=True) if bucket == commonest]


@torch.inference_mode()
def answers(
    recipe: TeacherRecipe, pictures: Sequence[CaptionedImage], classes: Sequence[str] = CLASSES
) -> list[Grounding]:
    """The teacher's candidates of every class in each picture."""
    grounder = open_grounder(recipe)
    prompts = class_prompts(classes, grounder, CHUNK)
    worker = TeacherWorker(grounder, batch_size=recipe.batch_size, min_score=MIN_SCORE)
    outcomes = worker.ground([GroundingRequest(picture, (), prompts) for picture in pictures])
    return [one for one in outcomes if isinstance(one, Grounding)]


def labels_of(found: Grounding, classes: Sequence[str], min_score: float) -> SampleLabels:
    """The answer as labels, as if a human had annotated it."""
    starts = [sum(len(name) + 1 for name in classes[:number]) for number in range(len(classes))]
    phrases = [
        SamplePhrase(text=name, start=start, end=start + len(name), head_lemma=name)
        for name, start in zip(classes, starts, strict=True)
    ]
    return SampleLabels(
        key=found.source.key,
        caption=" ".join(classes),
        phrases=phrases,
        boxes=[
            SampleBox(phrase=one.phrase, box_xyxy=one.box_xyxy, score=1)
            for one in found.candidates
            if one.score > min_score
        ],
        width=found.width,
        height=found.height,
        image_sha256=hashlib.sha256(found.source.image).hexdigest(),
        locator=found.source.locator,
        recipe_digest="",
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--checkpoint", default="nano")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=[name for name in PATHS if name != "fp32"])
    parser.add_argument("--score", type=float, default=0.5, help="of the fp32 boxes that are to be found")
    parser.add_argument("--one-shape", action="store_true", help="of pictures and prompts, for compiled paths")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
