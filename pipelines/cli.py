"""The command line: arguments in, exit status out; nothing else.

Exit status 0: done; 1: the job failed, or ``verify`` found a problem; 2: bad usage or input, with one line that says
what was wanted and what to do. Each command imports what it needs when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from schemas.recipes import (
    EvaluateRecipe,
    GenerationRecipe,
    GroundRecipe,
    LabelRecipe,
    TrainRecipe,
    explain,
    load_recipe,
    read_yaml,
)

Command = Callable[[argparse.Namespace], "tuple[int, Any]"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status and never raises for a user's mistake."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        status, result = command(options)
    except KeyboardInterrupt:
        return _fail(options, "interrupted; run the same command again to go on where it stopped", 1)
    except ValidationError as error:
        return _fail(options, explain(error), 2)
    except (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        return _fail(options, str(error), 2)
    except Exception as error:
        return _fail(options, f"{type(error).__name__}: {error}", 1)
    if options.json:
        print(json.dumps(_plain(result), indent=1, ensure_ascii=False))
    return status


def _fail(options: argparse.Namespace, message: str, status: int) -> int:
    if options.debug:
        traceback.print_exc()
    one_line = " ".join(message.split())
    if options.json:
        print(json.dumps({"error": one_line, "status": status}, ensure_ascii=False))
    print(f"glip-engine: error: {one_line}", file=sys.stderr)
    return status


def _plain(result: Any) -> Any:
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json")
    if isinstance(result, list):
        return [_plain(item) for item in result]
    return result


# ---------------------------------------------------------------------------------------------------------- commands


def _label(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.label import label

    recipe = load_recipe(LabelRecipe, options.recipe, (*_source_overrides(options), *options.set))
    return 0, label(recipe, options.out, workers=options.workers, backend=_backend(options), progress=not options.json)


def _backend(options: argparse.Namespace) -> Literal["ray", "inline"]:
    return "inline" if options.inline else "ray"


def _source_overrides(options: argparse.Namespace) -> tuple[str, ...]:
    """``SOURCE`` as overrides of the recipe's source: its kind is guessed from what lies there."""
    if options.source is None:
        return ()
    from engine.sources.guess import guess_source

    return tuple(f"source.{name}={json.dumps(value)}" for name, value in guess_source(options.source).items())


def _verify(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.verify import verify

    result = verify(options.dataset, progress=not options.json)
    return (1 if result.problems else 0), result


def _train(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.train import train

    recipe = load_recipe(TrainRecipe, options.recipe, tuple(options.set))
    result = train(recipe, options.out, workers=options.workers, progress=not options.json)
    if not options.json:
        print(f"student: {result.checkpoint}; next: glip-engine evaluate {result.checkpoint} --on DATASET")
    return 0, result


def _evaluate(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.evaluate import evaluate

    fields = read_yaml(Path(options.recipe)) if options.recipe else {}
    if options.on:
        fields["datasets"] = options.on
    if options.checkpoint:
        fields["teacher"] = {**fields.get("teacher", {}), "checkpoint": options.checkpoint}
    recipe = load_recipe(EvaluateRecipe, None, tuple(options.set), fields)
    return 0, evaluate(recipe, options.out, progress=not options.json)


def _report(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.report import report

    page = report(options.datasets, options.out, selection=options.selection)
    if not options.json:
        print(f"report: {page}")
    return 0, {"page": str(page)}


def _import(options: argparse.Namespace) -> tuple[int, Any]:
    from engine.gold import import_gold

    card = import_gold(options.format, options.source, options.out)
    if not options.json:
        counts = f"{card.samples} samples, {card.phrases} phrases, {card.boxes} boxes, {card.rejects} rejects"
        print(f"{options.out}: {counts}")
    return 0, card


def _ground(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.ground import check_out, ground_with, interactive_recipe

    overrides = {
        "teacher.checkpoint": options.checkpoint,
        "teacher.checkpoint_sha256": options.sha256,
        "min_score": options.min_score,
    }
    given = [f"{name}={json.dumps(value)}" for name, value in overrides.items() if value is not None]
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
    return 0, {"image": options.image, "out": options.out, **found.plain()}


def _convert(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.convert import convert, print_result

    result = convert(options.source, options.out, tokenizer=options.tokenizer, sha256=options.sha256)
    if not options.json:
        print_result(result)
    return 0, result


def _generation(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.generation import generation

    recipe = load_recipe(GenerationRecipe, options.recipe, tuple(options.set))
    result = generation(
        recipe, options.out, workers=options.workers, backend=_backend(options), progress=not options.json
    )
    return 0, result


def _doctor(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.doctor import examine

    findings = examine()
    if not options.json:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:18} {finding.message}")
    return (0 if all(finding.ok for finding in findings) else 1), findings


# --------------------------------------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glip-engine",
        description="A self-training data engine for grounding: captions in, boxes and students out.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    label = _add(commands, "label", _label, "pseudo-label captioned images: phrases, boxes, shards")
    label.add_argument(
        "source",
        nargs="?",
        help="tars, Parquet files, a list of urls (.tsv, .jsonl, .parquet), annotations/captions_X.json of COCO, or "
        "the word 'scenes'; a file, a folder, a glob or {00..99}, local, http(s):// or s3://; or in the recipe",
    )
    label.add_argument("--out", required=True, help="folder of the dataset; a started one is gone on with")
    _add_recipe(label, required=False)
    _add_workers(label)
    _add_inline(label)

    verify = _add(commands, "verify", _verify, "check a dataset: gaps, duplicates, sums, checksums, spans")
    verify.add_argument("dataset", help="folder of the dataset")

    train = _add(commands, "train", _train, "train a student on a mix of human and pseudo-labelled datasets")
    train.add_argument("--out", required=True, help="folder of the run; a started one is gone on with")
    _add_recipe(train, required=True)
    _add_workers(train)

    evaluate = _add(commands, "evaluate", _evaluate, "COCO AP and phrase recall of a checkpoint on human datasets")
    evaluate.add_argument("checkpoint", nargs="?", help="'nano', a checkpoint folder or file; or in the recipe")
    evaluate.add_argument(
        "--on", action="append", default=[], metavar="DATASET", help="a human dataset; may be repeated"
    )
    evaluate.add_argument("--out", help="folder for evaluation.json")
    _add_recipe(evaluate, required=False)

    report = _add(commands, "report", _report, "one page of statistics and pictures over datasets")
    report.add_argument("datasets", nargs="+", metavar="DATASET", help="folder of a dataset")
    report.add_argument("--out", required=True, help="folder for index.html and report.json")
    report.add_argument("--selection", help="preset that decides what is high-confidence; the dataset's own by default")

    gold = _add(commands, "import", _import, "human annotations into the project's dataset format")
    gold.add_argument("format", choices=["coco", "coco-phrases"], help="format of the annotations")
    gold.add_argument("source", help="folder with the images and the JSON files")
    gold.add_argument("--out", required=True, help="folder of the dataset")

    ground = _add(commands, "ground", _ground, "find the phrases of a text in one picture: a table and drawn boxes")
    ground.add_argument("image", help="a picture file")
    ground.add_argument("text", help="what to find, as in 'a red car and two dogs'")
    ground.add_argument("--out", help="the picture with its boxes: a name ending in .png, .jpg or .webp")
    ground.add_argument("--checkpoint", help="'nano' (default), 'glip-t', 'glip-l', a checkpoint folder or file")
    ground.add_argument("--sha256", help="digest that the checkpoint's weights must have")
    ground.add_argument("--min-score", type=float, help="boxes below are left out (default 0.5)")
    _add_overrides(ground)

    convert = _add(commands, "convert", _convert, "a published checkpoint into a model folder: safetensors and config")
    convert.add_argument("source", help="'glip-t', 'glip-l', a published .pth or .safetensors file, or a model folder")
    convert.add_argument("--out", required=True, help="folder of the model")
    convert.add_argument("--sha256", help="digest that the source's weights must have")
    convert.add_argument("--tokenizer", help="vocab.txt of bert-base-uncased; beside the file, or fetched, by default")

    generation = _add(commands, "generation", _generation, "label, mix, train, evaluate, decide, report")
    generation.add_argument("--out", required=True, help="folder of the generation; a started one is gone on with")
    _add_recipe(generation, required=True)
    _add_workers(generation)
    _add_inline(generation)

    _add(commands, "doctor", _doctor, "what of the installation works on this machine")
    return parser


def _add(commands: Any, name: str, command: Command, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what)
    parser.set_defaults(command=command)
    parser.add_argument("--json", action="store_true", help="print the result as JSON and no progress")
    parser.add_argument("--debug", action="store_true", help="print the traceback of an error")
    return parser


def _add_recipe(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--recipe", required=required, help="YAML file; see recipes/")
    _add_overrides(parser)


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="override a field of the recipe"
    )


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=_count, help="model workers; one for each GPU or CPU slot by default")


def _add_inline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--inline", action="store_true", help="label in this process, without Ray")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1 up, not {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
