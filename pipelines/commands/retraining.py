"""Commands that retrain when it is due, once or on a schedule."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.arguments import add_backend, add_command, add_recipe, given_backend
from pipelines.commands.exit_status import BUSY, DONE, REFUSED
from schemas.recipes import load_recipe
from schemas.retrain_recipes import RetrainRecipe


def add(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    _add_retrain(commands)
    _add_schedule(commands)


def _add_retrain(commands: Any) -> None:
    parser = add_command(
        commands,
        "retrain",
        _retrain,
        "run a generation into the registry; exit status 3: refused, 75: another process is retraining",
        goes_on=True,
    )
    parser.add_argument("--if-due", action="store_true", help="only if the recipe's policy says so; prints why")
    add_recipe(parser, RetrainRecipe, required=True)
    add_backend(parser)


def _retrain(options: argparse.Namespace) -> tuple[int, Any]:
    recipe = load_recipe(RetrainRecipe, options.recipe, tuple(options.set))
    from pipelines.retrain import retrain

    result = retrain(
        recipe,
        if_due=options.if_due,
        workers=options.workers,
        backend=given_backend(options),
        progress=not options.json,
    )
    return {"refused": REFUSED, "busy": BUSY}.get(result.outcome, DONE), result


def _add_schedule(commands: Any) -> None:
    parser = add_command(
        commands, "schedule", _schedule, "retrain if due, at the recipe's times, until SIGTERM; or show `status`"
    )
    parser.add_argument("action", nargs="?", choices=["run", "status"], default="run", help="run (default) or status")
    add_recipe(parser, RetrainRecipe, required=True)
    add_backend(parser)


def _schedule(options: argparse.Namespace) -> tuple[int, Any]:
    recipe = load_recipe(RetrainRecipe, options.recipe, tuple(options.set))
    from pipelines.schedule import schedule, schedule_status

    if options.action == "status":
        return DONE, schedule_status(recipe, progress=not options.json)
    runs = schedule(recipe, _arguments(options), progress=not options.json)
    return DONE, {"runs": runs}


def _arguments(options: argparse.Namespace) -> list[str]:
    """The arguments of the ``retrain`` commands that the scheduler runs."""
    given = ["--recipe", options.recipe, *(f"--set={override}" for override in options.set)]
    given += ["--workers", str(options.workers)] if options.workers else []
    return given + (["--inline"] if options.inline else [])
