"""Commands that train, evaluate and calibrate a model, and the generation that does all of it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
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
    overrides,
    positive,
    score,
    teacher_fields,
)
from pipelines.commands.exit_status import DONE
from schemas.few_shot_recipes import FewShotRecipe
from schemas.recipes import CalibrateRecipe, EvaluateRecipe, GenerationRecipe, Recipe, TrainRecipe, load_recipe
from schemas.robustness_recipes import RobustnessRecipe


def add(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    _add_generation(commands)
    _add_train(commands)
    _add_few_shot(commands)
    _add_evaluate(commands)
    _add_robustness(commands)
    _add_calibrate(commands)


def _add_generation(commands: Any) -> None:
    parser = add_command(
        commands, "generation", _generation, "label, mix, train, evaluate, decide and report, in one run", goes_on=True
    )
    add_out(parser, "folder of the generation; an unfinished one is resumed", local=True)
    parser.add_argument(
        "--generations", type=count, metavar="N", help="run N in a row, each promoted student teaching the next"
    )
    add_recipe(parser, GenerationRecipe, required=True)
    add_backend(parser)


def _generation(options: argparse.Namespace) -> tuple[int, Any]:
    recipe = load_recipe(GenerationRecipe, options.recipe, tuple(options.set))
    how = {"workers": options.workers, "backend": given_backend(options), "progress": not options.json}
    if options.generations is not None:
        from pipelines.generations import generations

        return DONE, generations(recipe, options.out, options.generations, **how)
    from pipelines.generation import generation

    return DONE, generation(recipe, options.out, **how)


def _add_train(commands: Any) -> None:
    parser = add_command(
        commands, "train", _train, "train a student on a mix of human and pseudo-labelled datasets", goes_on=True
    )
    what = "folder of the run; an unfinished one is resumed; not needed with --plan"
    add_out(parser, what, required=False, local=True)
    parser.add_argument("--plan", action="store_true", help="train nothing; print what the run will take")
    parser.add_argument("--gpus", type=count, metavar="N", help="GPUs of the plan (default 1)")
    parser.add_argument(
        "--rate", type=positive, metavar="R", help="images/s of one GPU, for the plan (default: published rates)"
    )
    parser.add_argument(
        "--workers", type=count, metavar="N", help="processes that share every batch, through Ray Train (default 1)"
    )
    add_recipe(parser, TrainRecipe, required=True)


def _train(options: argparse.Namespace) -> tuple[int, Any]:
    if options.out is None and not options.plan:
        raise ValueError("nowhere to write: give --out FOLDER, or --plan to see what the run will take")
    check_for_plan(options, "gpus", "rate")
    recipe = load_recipe(TrainRecipe, options.recipe, tuple(options.set))
    if options.plan:
        return DONE, _planned(recipe, options)
    from pipelines.train import result_line, train

    result = train(recipe, options.out, workers=options.workers, progress=not options.json)
    if not options.json:
        print(result_line(result))
    return DONE, result


def _planned(recipe: TrainRecipe, options: argparse.Namespace) -> Any:
    from pipelines.training.plan import train_plan
    from pipelines.training.plan_table import plan_text

    plan = train_plan(recipe, gpus=options.gpus or 1, images_per_second=options.rate)
    if not options.json:
        print(plan_text(plan))
    return plan


def _add_few_shot(commands: Any) -> None:
    parser = add_command(
        commands,
        "few-shot",
        _few_shot,
        "measure zero-shot, few-shot and full transfer to new data, as on ODinW",
        goes_on=True,
    )
    add_out(parser, "folder of the cells; finished ones are not repeated", local=True)
    add_recipe(parser, FewShotRecipe, required=True)


def _few_shot(options: argparse.Namespace) -> tuple[int, Any]:
    recipe = load_recipe(FewShotRecipe, options.recipe, tuple(options.set))
    from pipelines.few_shot import few_shot

    return DONE, few_shot(recipe, options.out, progress=not options.json)


def _add_evaluate(commands: Any) -> None:
    parser = add_command(
        commands, "evaluate", _evaluate, "score a checkpoint on human datasets: AP, phrase recall and more"
    )
    _add_model_and_datasets(parser, EvaluateRecipe)
    add_out(parser, "folder for figures, a table of every box and a page of mistakes", required=False)
    add_backend(parser)


def _evaluate(options: argparse.Namespace) -> tuple[int, Any]:
    options.goes_on = options.out is not None  # what has been answered lies there
    if not (options.on or options.recipe or any(one.startswith("datasets") for one in options.set)):
        raise ValueError("nothing to evaluate on: give --on DATASET, a human dataset as `import` makes it")
    recipe = load_recipe(EvaluateRecipe, options.recipe, _model_and_datasets(options))
    from pipelines.evaluate import evaluate

    reports = evaluate(
        recipe,
        options.out,
        workers=options.workers,
        backend="inline" if options.inline else recipe.backend or "ray",
        progress=not options.json,
    )
    if options.out is not None and not options.json:
        print(f"page: {options.out.rstrip('/')}/index.html")
    return DONE, reports


def _add_robustness(commands: Any) -> None:
    parser = add_command(commands, "robustness", _robustness, "count the boxes that survive wrong and blank captions")
    parser.add_argument("checkpoint", nargs="?", help=f"{CHECKPOINT} (default: nano)")
    parser.add_argument("--on", required=True, metavar="DATASET", help="a human grounding dataset")
    add_out(parser, "folder for the figures and a table of every phrase with its boxes", required=False)
    add_published(parser)
    parser.add_argument("--min-score", metavar="SCORE", type=score, help="ignore boxes below (default 0.5)")
    parser.add_argument("--limit", type=count, metavar="N", help="only the first N samples")
    add_overrides(parser, RobustnessRecipe)


def _robustness(options: argparse.Namespace) -> tuple[int, Any]:
    given = overrides({**teacher_fields(options), "min_score": options.min_score, "limit": options.limit})
    recipe = load_recipe(RobustnessRecipe, None, (*given, *options.set))
    from pipelines.robustness import robustness

    return DONE, robustness(recipe, options.on, options.out, progress=not options.json)


def _add_calibrate(commands: Any) -> None:
    parser = add_command(
        commands, "calibrate", _calibrate, "measure what precision a teacher's scores stand for, on human datasets"
    )
    _add_model_and_datasets(parser, CalibrateRecipe)
    parser.add_argument(
        "--out",
        metavar="FILE",
        required=True,
        help="file to write, such as calibration.json; an .svg plot goes beside it",
    )
    parser.add_argument(
        "--precision", metavar="SHARE", type=float, help="target of readers that name none (default 0.7)"
    )
    parser.add_argument(
        "--verdicts",
        action="append",
        default=[],
        metavar="DATASET",
        help="labels that people reviewed with `serve`, instead of human data or beside it; may be repeated",
    )


def _calibrate(options: argparse.Namespace) -> tuple[int, Any]:
    own = {"verdicts": options.verdicts or None, "precision": options.precision}
    recipe = load_recipe(CalibrateRecipe, options.recipe, _model_and_datasets(options, own))
    from pipelines.calibrate import calibrate

    return DONE, calibrate(recipe, options.out, progress=not options.json)


def _add_model_and_datasets(parser: argparse.ArgumentParser, recipe: type[Recipe]) -> None:
    parser.add_argument("checkpoint", nargs="?", help=f"{CHECKPOINT}; may be in the recipe instead")
    parser.add_argument("--on", action="append", default=[], metavar="DATASET", help="a human dataset; may be repeated")
    add_recipe(parser, recipe, required=False)


def _model_and_datasets(options: argparse.Namespace, own: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """What the command line says in the place of the recipe's fields, with what is a command's ``own``."""
    given = {"datasets": options.on or None, "teacher.checkpoint": options.checkpoint}
    return (*overrides({**given, **(own or {})}), *options.set)
