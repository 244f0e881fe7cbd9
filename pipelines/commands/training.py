"""Commands that train, evaluate and calibrate a model, and the generation that does all of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.commands.arguments import (
    add_command,
    add_inline,
    add_recipe,
    add_workers,
    chosen_backend,
)
from schemas.recipes import (
    CalibrateRecipe,
    EvaluateRecipe,
    GenerationRecipe,
    TrainRecipe,
    load_recipe,
    read_yaml,
)


def add(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    _add_generation(commands)
    _add_train(commands)
    _add_evaluate(commands)
    _add_calibrate(commands)


def _add_generation(commands: Any) -> None:
    parser = add_command(commands, "generation", _generation, "label, mix, train, evaluate, decide, report")
    parser.add_argument("--out", required=True, help="folder of the generation; a started one is gone on with")
    add_recipe(parser, required=True)
    add_workers(parser)
    add_inline(parser)


def _generation(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.generation import generation

    recipe = load_recipe(GenerationRecipe, options.recipe, tuple(options.set))
    result = generation(
        recipe, options.out, workers=options.workers, backend=chosen_backend(options), progress=not options.json
    )
    return 0, result


def _add_train(commands: Any) -> None:
    parser = add_command(commands, "train", _train, "train a student on a mix of human and pseudo-labelled datasets")
    parser.add_argument("--out", required=True, help="folder of the run; a started one is gone on with")
    add_recipe(parser, required=True)
    add_workers(parser)


def _train(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.train import train

    recipe = load_recipe(TrainRecipe, options.recipe, tuple(options.set))
    result = train(recipe, options.out, workers=options.workers, progress=not options.json)
    if not options.json:
        print(f"student: {result.checkpoint}; next: glip-engine evaluate {result.checkpoint} --on DATASET")
    return 0, result


def _add_evaluate(commands: Any) -> None:
    parser = add_command(
        commands, "evaluate", _evaluate, "AP, phrase recall and more of a checkpoint on human datasets"
    )
    _add_model_and_datasets(parser)
    parser.add_argument("--out", help="folder for evaluation.json")


def _evaluate(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.evaluate import evaluate

    fields = _model_and_datasets(options)
    recipe = load_recipe(EvaluateRecipe, None, tuple(options.set), fields)
    return 0, evaluate(recipe, options.out, progress=not options.json)


def _add_calibrate(commands: Any) -> None:
    parser = add_command(
        commands, "calibrate", _calibrate, "what precision a teacher's scores mean, from human datasets"
    )
    _add_model_and_datasets(parser)
    parser.add_argument("--out", required=True, help="the file, such as calibration.json; a plot .svg beside it")
    parser.add_argument("--precision", type=float, help="target that readers have by default (0.7)")


def _calibrate(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.calibrate import calibrate

    fields = _model_and_datasets(options)
    if options.precision is not None:
        fields["precision"] = options.precision
    recipe = load_recipe(CalibrateRecipe, None, tuple(options.set), fields)
    return 0, calibrate(recipe, options.out, progress=not options.json)


def _add_model_and_datasets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", nargs="?", help="'nano', a checkpoint folder or file; or in the recipe")
    parser.add_argument("--on", action="append", default=[], metavar="DATASET", help="a human dataset; may be repeated")
    add_recipe(parser, required=False)


def _model_and_datasets(options: argparse.Namespace) -> dict[str, Any]:
    """The recipe's fields, with what the command line says in their place."""
    fields = read_yaml(Path(options.recipe)) if options.recipe else {}
    if options.on:
        fields["datasets"] = options.on
    if options.checkpoint:
        fields["teacher"] = {**fields.get("teacher", {}), "checkpoint": options.checkpoint}
    return fields
