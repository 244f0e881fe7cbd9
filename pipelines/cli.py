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
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ValidationError

from schemas.recipes import (
    DEFAULT_DISTANCE,
    EXPORT_FORMATS,
    GOLD_FILES,
    CalibrateRecipe,
    EvaluateRecipe,
    GenerationRecipe,
    GroundRecipe,
    LabelRecipe,
    SelectionChoice,
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
        with redirect_stdout(sys.stderr) if options.json else nullcontext():  # Ray prints of workers that died
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
    if options.plan:
        return _plan(options, recipe)
    if options.out is None:
        options.usage_error("the following arguments are required: --out")
    return 0, label(
        recipe,
        options.out,
        workers=options.workers,
        backend=_backend(options),
        relabel=options.relabel,
        budget_hours=options.budget_hours,
        log=options.log,
        progress=not options.json,
    )


def _plan(options: argparse.Namespace, recipe: LabelRecipe) -> tuple[int, Any]:
    from pipelines.plan import plan, print_plan

    result = plan(
        recipe,
        samples=options.plan_samples,
        seed=options.plan_seed,
        workers=options.workers,
        backend=_backend(options),
        price_per_hour=options.price_per_hour,
    )
    if not options.json:
        print_plan(result)
    return 0, result


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

    page = report(options.datasets, options.out, selection=_selection(options))
    if not options.json:
        print(f"report: {page}")
    return 0, {"page": str(page)}


def _selection(options: argparse.Namespace) -> SelectionChoice | None:
    """A preset's name, or a YAML mapping in one line."""
    text: str | None = options.selection
    if text is None or not text.lstrip().startswith("{"):
        return text
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--selection {text!r} is no YAML: {error}") from None
    return {str(name): value for name, value in fields.items()}


def _calibrate(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.calibrate import calibrate

    fields = read_yaml(Path(options.recipe)) if options.recipe else {}
    if options.on:
        fields["datasets"] = options.on
    if options.checkpoint:
        fields["teacher"] = {**fields.get("teacher", {}), "checkpoint": options.checkpoint}
    if options.precision is not None:
        fields["precision"] = options.precision
    recipe = load_recipe(CalibrateRecipe, None, tuple(options.set), fields)
    return 0, calibrate(recipe, options.out, progress=not options.json)


def _dedupe(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.dedupe import dedupe

    return 0, dedupe(options.dataset, by=options.by, max_distance=options.distance, progress=not options.json)


def _diff(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.diff import diff

    selection = _selection(options)
    return 0, diff(options.before, options.after, selection=selection, force=options.force, progress=not options.json)


def _import(options: argparse.Namespace) -> tuple[int, Any]:
    from engine.gold import import_gold

    card = import_gold(options.format, options.source, options.out, images=options.images, split=options.split)
    if not options.json:
        counts = f"{card.samples} samples, {card.phrases} phrases, {card.boxes} boxes, {card.rejects} rejects"
        print(f"{options.out}: {counts}")
    return 0, card


def _export(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.export import export

    return 0, export(
        options.dataset,
        options.out,
        format=options.format,
        selection=_selection(options),
        images=options.images,
        progress=not options.json,
    )


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


def _promote(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.registry import promote

    return 0, promote(
        options.source,
        options.registry,
        decision=options.decision,
        force=options.force,
        progress=not options.json,
    )


def _rollback(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.registry import rollback

    return 0, rollback(options.registry, to=options.to, reason=options.reason, progress=not options.json)


def _history(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.registry import history

    result = history(options.registry, progress=not options.json)
    return (1 if result.problems else 0), result


def _show(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.registry import show

    result = show(options.registry, version=options.version, progress=not options.json)
    return (1 if result.problems or any(one.problem for one in result.versions if one.was_current) else 0), result


def _lineage(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.lineage_tree import lineage

    return 0, lineage(options.artefact, progress=not options.json)


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
    label.add_argument("--out", help="folder of the dataset; a started one is gone on with")
    label.set_defaults(usage_error=label.error)
    _add_recipe(label, required=False)
    label.add_argument(
        "--plan", action="store_true", help="label nothing; tell images/s, hours, storage and cost of the whole source"
    )
    label.add_argument("--plan-samples", type=_count, default=300, help="samples that --plan probes (300)")
    label.add_argument("--plan-seed", type=int, default=0, help="draws the samples that are probed")
    label.add_argument("--price-per-hour", type=_positive, help="of one worker (a GPU), for the plan's cost")
    label.add_argument(
        "--budget-hours", type=_positive, metavar="H", help="begin no unit that would not be done H hours from now"
    )
    label.add_argument("--log", metavar="FILE", help="append a line of JSON for each unit, and for start and end")
    label.add_argument(
        "--relabel", action="store_true", help="do again what a changed recipe, teacher or source changes in OUT"
    )
    _add_workers(label)
    _add_inline(label)

    verify = _add(commands, "verify", _verify, "check a dataset: gaps, duplicates, sums, checksums, spans")
    verify.add_argument("dataset", help="folder of the dataset")

    dedupe = _add(commands, "dedupe", _dedupe, "find the duplicates of a labelled dataset; readers leave them out")
    dedupe.add_argument("dataset", help="folder of the dataset; duplicates.parquet is written into it")
    dedupe.add_argument(
        "--by",
        choices=["image", "pair"],
        default="image",
        help="duplicates have the same picture (default), or the same picture and the same caption",
    )
    dedupe.add_argument(
        "--distance",
        type=int,
        default=DEFAULT_DISTANCE,
        help="bits of 64 in which perceptual hashes of one picture may differ (default %(default)s; 0 to 12)",
    )

    train = _add(commands, "train", _train, "train a student on a mix of human and pseudo-labelled datasets")
    train.add_argument("--out", required=True, help="folder of the run; a started one is gone on with")
    _add_recipe(train, required=True)
    _add_workers(train)

    evaluate = _add(commands, "evaluate", _evaluate, "AP, phrase recall and more of a checkpoint on human datasets")
    evaluate.add_argument("checkpoint", nargs="?", help="'nano', a checkpoint folder or file; or in the recipe")
    evaluate.add_argument(
        "--on", action="append", default=[], metavar="DATASET", help="a human dataset; may be repeated"
    )
    evaluate.add_argument("--out", help="folder for evaluation.json")
    _add_recipe(evaluate, required=False)

    report = _add(commands, "report", _report, "one page of statistics and pictures over datasets")
    report.add_argument("datasets", nargs="+", metavar="DATASET", help="folder of a dataset")
    report.add_argument("--out", required=True, help="folder for index.html and report.json")
    _add_selection(report)

    calibrate = _add(commands, "calibrate", _calibrate, "what precision a teacher's scores mean, from human datasets")
    calibrate.add_argument("checkpoint", nargs="?", help="'nano', a checkpoint folder or file; or in the recipe")
    calibrate.add_argument(
        "--on", action="append", default=[], metavar="DATASET", help="a human grounding dataset; may be repeated"
    )
    calibrate.add_argument("--out", required=True, help="the file, such as calibration.json; a plot .svg beside it")
    calibrate.add_argument("--precision", type=float, help="target that readers have by default (0.7)")
    _add_recipe(calibrate, required=False)

    diff = _add(commands, "diff", _diff, "what another teacher or recipe gained, lost and moved on the same source")
    diff.add_argument("before", metavar="A", help="folder of a dataset")
    diff.add_argument("after", metavar="B", help="folder of another dataset of the same source")
    diff.add_argument("--force", action="store_true", help="also where sources differ: by picture and caption")
    _add_selection(diff)

    gold = _add(commands, "import", _import, "human annotations into the project's dataset format")
    gold.add_argument("format", choices=GOLD_FILES, help="format of the annotations: %(choices)s", metavar="FORMAT")
    gold.add_argument("source", help="folder of the annotations, with the images, or their file")
    gold.add_argument("--out", required=True, help="folder of the dataset")
    gold.add_argument("--images", help="folder of the images, where they are not beside the annotations")
    gold.add_argument("--split", help="of a source that lists its splits: train, val, testA, ...; all by default")

    export = _add(commands, "export", _export, "a dataset in the format of another project")
    export.add_argument("dataset", help="folder of the dataset")
    export.add_argument("--format", required=True, choices=EXPORT_FORMATS, help="%(choices)s", metavar="FORMAT")
    export.add_argument("--out", required=True, help="folder that is empty or not there yet")
    export.add_argument("--images", action="store_true", help="write the pictures too, byte for byte")
    _add_selection(export)

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

    promote = _add(commands, "promote", _promote, "make a model the current version of a registry, past the gate")
    promote.add_argument("source", help="folder of a generation, a training run or a model, or 'nano'")
    _add_registry(promote)
    promote.add_argument("--decision", metavar="FILE", help="the gate's record; a generation's own by default")
    promote.add_argument("--force", metavar="REASON", help="go past the gate; the reason is recorded")

    rollback = _add(commands, "rollback", _rollback, "make the version current again that the current one replaced")
    _add_registry(rollback)
    rollback.add_argument("--to", type=_count, metavar="N", help="this version")
    rollback.add_argument("--reason", default="", help="recorded in the history")

    history = _add(commands, "history", _history, "who promoted what into a registry, when and why")
    history.add_argument("registry", help="folder or s3:// prefix of the registry")

    show = _add(commands, "show", _show, "check the versions of a registry: every file by its SHA-256")
    show.add_argument("registry", help="folder or s3:// prefix of the registry")
    show.add_argument("--version", type=_count, metavar="N", help="this one alone")

    lineage = _add(commands, "lineage", _lineage, "what an artefact was made from, down to source slices and seeds")
    lineage.add_argument("artefact", help="folder of a generation, dataset, run or model, or registry:URI@N")

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


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--selection",
        help="what is high-confidence: a preset, 'all', or '{preset: calibrated, calibration: FILE, precision: 0.7}'; "
        "each dataset's own by default",
    )


def _add_registry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--registry", required=True, metavar="URI", help="folder or s3:// prefix of the registry")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=_count, help="model workers; one for each GPU or CPU slot by default")


def _add_inline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--inline", action="store_true", help="label in this process, without Ray")


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"wanted a number above 0, not {text}")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1 up, not {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
