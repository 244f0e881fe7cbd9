"""Commands that pseudo-label, check what was labelled, and show the teacher at work."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from pipelines.commands.arguments import (
    CHECKPOINT,
    add_backend,
    add_command,
    add_out,
    add_overrides,
    add_published,
    add_recipe,
    check_for_plan,
    count,
    given_backend,
    local_path,
    overrides,
    positive,
    seed,
    teacher_fields,
)
from pipelines.commands.exit_status import DONE, FAILED
from schemas.recipes import DEFAULT_DISTANCE, GroundRecipe, LabelRecipe, load_recipe


def add(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    _add_label(commands)
    _add_verify(commands)
    _add_dedupe(commands)
    _add_ground(commands)


def _add_label(commands: Any) -> None:
    parser = add_command(
        commands, "label", _label, "pseudo-label captioned images: phrases, boxes, shards", goes_on=True
    )
    parser.add_argument(
        "source",
        nargs="?",
        help="tars, pictures with .txt captions, a .csv of pictures and captions, Parquet files, a list of urls (.tsv, "
        ".csv, .jsonl, .parquet), COCO's annotations/captions_X.json, or the word 'scenes'; give a file, a folder, a "
        "glob or {00..99}, local, http(s):// or s3://; may be in the recipe instead",
    )
    add_out(parser, "folder of the dataset; an unfinished job in it is resumed", required=False)
    add_recipe(parser, LabelRecipe, required=False)
    parser.add_argument(
        "--plan", action="store_true", help="label nothing; print images/s, hours, storage and cost of the whole source"
    )
    parser.add_argument(
        "--plan-samples",
        type=count,
        metavar="N",
        help="samples that --plan probes (default 300; at least 10, and one more for each worker)",
    )
    parser.add_argument("--plan-seed", type=seed, metavar="N", help="seed of these samples (default 0)")
    parser.add_argument(
        "--price-per-hour", type=positive, metavar="PRICE", help="price of a worker (a GPU), for the plan"
    )
    parser.add_argument(
        "--budget-hours", type=positive, metavar="H", help="start no unit that would not be done H hours from now"
    )
    parser.add_argument(
        "--log", metavar="FILE", type=local_path, help="append a line of JSON for each unit, the start and the end"
    )
    parser.add_argument(
        "--relabel", action="store_true", help="redo what a changed recipe, teacher or source changes in --out"
    )
    add_backend(parser)


def _label(options: argparse.Namespace) -> tuple[int, Any]:
    if not (options.source or options.recipe or any(one.startswith("source") for one in options.set)):
        raise ValueError(
            "nothing to label: give a source (tars, pictures, Parquet, a list of urls, 'scenes'), or a recipe"
        )
    if options.out is None and not options.plan:
        raise ValueError("nowhere to write: give --out FOLDER, or --plan to see what the job will take")
    check_for_plan(options, "plan_samples", "plan_seed", "price_per_hour")
    recipe = load_recipe(LabelRecipe, options.recipe, (*_source_overrides(options), *options.set))
    if options.plan:
        return _plan(options, recipe)
    from pipelines.label import label

    result = label(
        recipe,
        options.out,
        workers=options.workers,
        backend=given_backend(options),
        relabel=options.relabel,
        budget_hours=options.budget_hours,
        log=options.log,
        progress=not options.json,
    )
    if result.samples and not result.units_left and not options.json:
        print("next: " + shlex.join(["glip-engine", *_next(options.out)]))
    return DONE, result


def _next(out: str) -> list[str]:
    """What to do with a whole dataset: look at it. Where duplicates were found among its shards before these, which
    every reader refuses, find them anew."""
    from engine.artifacts import Store
    from engine.duplicates import DUPLICATES, read_duplicates
    from engine.shards import read_manifests

    store = Store(out)
    try:
        if store.exists(DUPLICATES):
            read_duplicates(store, read_manifests(store))
    except ValueError:
        return ["dedupe", out]
    return ["report", out, "--out", out.rstrip("/") + "-report"]


def _plan(options: argparse.Namespace, recipe: LabelRecipe) -> tuple[int, Any]:
    from pipelines.labelling.plan import SAMPLES, label_plan
    from pipelines.labelling.plan_document import print_plan

    result = label_plan(
        recipe,
        samples=options.plan_samples or SAMPLES,
        seed=options.plan_seed or 0,
        workers=options.workers,
        backend=given_backend(options),
        price_per_hour=options.price_per_hour,
    )
    if not options.json:
        print_plan(result)
    return DONE, result


def _source_overrides(options: argparse.Namespace) -> tuple[str, ...]:
    """``SOURCE`` as overrides of the recipe's source: its kind is guessed from what lies there."""
    if options.source is None:
        return ()
    from engine.sources.guess import guess_source

    return overrides({f"source.{name}": value for name, value in guess_source(options.source).items()})


def _add_verify(commands: Any) -> None:
    parser = add_command(commands, "verify", _verify, "check a dataset: gaps, duplicates, sums, checksums, spans")
    parser.add_argument("dataset", help="folder of the dataset")


def _verify(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.verify import verify

    result = verify(options.dataset, progress=not options.json)
    return (FAILED if result.problems else DONE), result


def _add_dedupe(commands: Any) -> None:
    parser = add_command(
        commands, "dedupe", _dedupe, "find duplicates in a labelled dataset; readers then leave them out"
    )
    parser.add_argument("dataset", help="folder of the dataset; duplicates.parquet is written into it")
    parser.add_argument(
        "--by",
        choices=["image", "pair"],
        default="image",
        help="duplicates share the picture (default), or the picture and the caption",
    )
    parser.add_argument(
        "--distance",
        type=int,
        default=DEFAULT_DISTANCE,
        metavar="BITS",
        help="how many of the 64 bits of perceptual hashes may differ between copies (0 to 12, default %(default)s)",
    )


def _dedupe(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.dedupe import dedupe

    return DONE, dedupe(options.dataset, by=options.by, max_distance=options.distance, progress=not options.json)


def _add_ground(commands: Any) -> None:
    parser = add_command(
        commands, "ground", _ground, "find the phrases of a text in one picture; print a table, draw the boxes"
    )
    parser.add_argument("image", help="a picture file")
    parser.add_argument("text", help="what to find, as in 'a red car and two dogs'")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=local_path,
        help="file for the picture with its boxes, ending in .png, .jpg or .webp",
    )
    parser.add_argument("--checkpoint", help=f"{CHECKPOINT} (default: nano)")
    add_published(parser)
    parser.add_argument("--min-score", metavar="SCORE", type=float, help="leave out boxes below (default 0.5)")
    add_overrides(parser, GroundRecipe)


def _ground(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.ground import check_out, ground_with, interactive_recipe

    given = overrides({**teacher_fields(options), "min_score": options.min_score})
    recipe = load_recipe(GroundRecipe, None, (*given, *options.set), interactive_recipe())
    if options.out:
        check_out(Path(options.out))  # before the model takes its time
    found = ground_with(recipe, options.image, options.text)
    if not options.json:
        print(found)
    if options.out:
        found.save(options.out)
        if not options.json:
            print(f"drawn: {options.out}")
    return DONE, {"image": options.image, "out": options.out, **found.plain()}
