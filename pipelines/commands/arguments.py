"""What several commands ask in the same words: one function an argument, and the reading of its value."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

import yaml

from pipelines.commands.field_list import FieldList
from pipelines.commands.parser import HelpFormatter, examples_of
from pipelines.models.local_folders import local_folder
from schemas.recipes import Recipe, SelectionChoice

Command = Callable[[argparse.Namespace], "tuple[int, Any]"]
CHECKPOINT = "'nano', 'glip-t', 'glip-l', a model folder, a published file, or registry:URI"


def add_command(
    commands: Any, name: str, command: Command, what: str, *, goes_on: bool = False
) -> argparse.ArgumentParser:
    """A command of the group ``commands``, with the options that all have and its examples as the end of its help.

    ``goes_on``: whether an interrupted one, run again, begins where it stopped.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=what, epilog=examples_of(name), formatter_class=HelpFormatter
    )
    parser.set_defaults(command=command, parser=parser, goes_on=goes_on)
    parser.add_argument("--json", action="store_true", help="print the result as JSON, without progress")
    parser.add_argument("--debug", action="store_true", help="print the traceback of an error")
    return parser


def add_out(parser: argparse.ArgumentParser, what: str, *, required: bool = True, local: bool = False) -> None:
    """The folder that is written, which is no URL where it is ``local``."""
    parser.add_argument("--out", metavar="FOLDER", required=required, type=local_path if local else str, help=what)


def add_recipe(parser: argparse.ArgumentParser, recipe: type[Recipe], *, required: bool) -> None:
    """The file of a ``recipe``, and what overrides and lists its fields."""
    where = "recipe in YAML; the project's repository has examples in recipes/"
    parser.add_argument("--recipe", metavar="FILE", required=required, help=where)
    add_overrides(parser, recipe)


def add_published(parser: argparse.ArgumentParser) -> None:
    """What a published checkpoint comes without: the digest that is trusted, and the vocabulary."""
    parser.add_argument("--sha256", metavar="DIGEST", help="SHA-256 that the checkpoint's weights must have")
    parser.add_argument(
        "--tokenizer", metavar="FILE", help="vocab.txt of bert-base-uncased (default: beside the file, else fetched)"
    )


def teacher_fields(options: argparse.Namespace) -> dict[str, Any]:
    """The checkpoint with what :func:`add_published` asked for, as fields of a recipe."""
    return {
        "teacher.checkpoint": options.checkpoint,
        "teacher.checkpoint_sha256": options.sha256,
        "teacher.tokenizer": options.tokenizer,
    }


def add_overrides(parser: argparse.ArgumentParser, recipe: type[Recipe]) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="override a field of the recipe; may be repeated",
    )
    parser.add_argument(
        "--fields",
        action=FieldList,
        recipe=recipe,
        nargs="?",
        metavar="PREFIX",
        help="list the recipe's fields (all, or those that begin with PREFIX) with defaults and meaning, and exit",
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--selection",
        help="which boxes count: glip, grit, owl-st, all, numbers such as '{min_score: 0.4}' (`label --fields "
        "selection` lists them), or '{preset: calibrated, calibration: FILE, precision: 0.7}' (default: each dataset's "
        "own)",
    )


def add_registry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("registry", help="folder or s3:// prefix of the registry")


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Where the model answers: in workers on Ray, or here."""
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--workers", type=count, metavar="N", help="model workers (default: one for each GPU or CPU slot)"
    )
    places.add_argument("--inline", action="store_true", help="work in this process, without Ray")


def given_selection(options: argparse.Namespace) -> SelectionChoice | None:
    """The value of ``--selection``: a preset's name, or a YAML mapping in one line."""
    text: str | None = options.selection
    if text is None or not text.lstrip().startswith("{"):
        return text
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--selection {text!r} is not YAML: {getattr(error, 'problem', error)}") from None
    return {str(name): value for name, value in fields.items()}


def overrides(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Values that have options of their own, written as ``--set`` overrides; None stands for an option that was not
    given."""
    return tuple(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in given.items() if value is not None
    )


def check_for_plan(options: argparse.Namespace, *names: str) -> None:
    """ValueError where an option of ``--plan`` was given without ``--plan``: somebody who wanted a plan would start a
    job."""
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]
    if given and not options.plan:
        raise ValueError(f"{', '.join(given)} without --plan: the plan alone asks for it; add --plan, or leave it out")


def given_backend(options: argparse.Namespace) -> Literal["ray", "inline"]:
    return "inline" if options.inline else "ray"


def local_path(text: str) -> str:
    """The type of arguments that name files or folders of this machine: it refuses URLs."""
    try:
        local_folder(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def positive(text: str) -> float:
    with suppress(ValueError):
        if 0 < (number := float(text)) < float("inf"):
            return number
    raise argparse.ArgumentTypeError(f"wanted a number above 0, not {text!r}")


def score(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (number := float(text)) < 1:
            return number
    raise argparse.ArgumentTypeError(f"wanted a score from 0 to below 1, not {text!r}")


def count(text: str) -> int:
    return _whole(text, least=1)


def seed(text: str) -> int:
    return _whole(text, least=0)


def _whole(text: str, least: int) -> int:
    with suppress(ValueError):
        if (number := int(text)) >= least:
            return number
    raise argparse.ArgumentTypeError(f"wanted a whole number from {least} up, not {text!r}")
