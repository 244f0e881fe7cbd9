"""Commands that look at datasets, and bring them in from and out to other projects' formats."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from pipelines.commands.arguments import (
    add_command,
    add_out,
    add_selection,
    count,
    given_selection,
    local_path,
    positive,
)
from pipelines.commands.exit_status import DONE
from schemas.recipes import EXPORT_FORMATS, GOLD_FILES


def add(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    _add_report(commands)
    _add_diff(commands)
    _add_import(commands)
    _add_export(commands)


def _add_report(commands: Any) -> None:
    parser = add_command(commands, "report", _report, "write a page of statistics and pictures about datasets")
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help="folder of a dataset")
    add_out(parser, "folder for index.html, report.json, report.md and tables/")
    parser.add_argument(
        "--human",
        action="append",
        default=[],
        metavar="DATASET",
        help="human dataset; its phrases do not count as new concepts (default: the human ones among DATASET)",
    )
    parser.add_argument(
        "--compare", nargs=2, metavar=("A", "B"), help="show two datasets side by side: numbers, drift, phrases"
    )
    parser.add_argument(
        "--price-per-hour", type=positive, metavar="PRICE", help="price of a worker (a GPU), for the cost"
    )
    parser.add_argument(
        "--pictures", type=count, metavar="N", help="at most so many pictures in a gallery (default 240)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the sample of pictures (default 0)")
    add_selection(parser)


def _report(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.report import GALLERY_PICTURES, report

    page = report(
        options.datasets,
        options.out,
        selection=given_selection(options),
        human=options.human,
        compared=None if options.compare is None else tuple(options.compare),
        price_per_hour=options.price_per_hour,
        pictures=options.pictures or GALLERY_PICTURES,
        seed=options.seed,
        progress=not options.json,
    )
    if not options.json:
        print(f"report: {page}")
    return DONE, {"page": str(page)}


def _add_diff(commands: Any) -> None:
    parser = add_command(
        commands, "diff", _diff, "show what another teacher or recipe gained, lost and moved on the same source"
    )
    parser.add_argument("before", metavar="A", help="folder of a dataset")
    parser.add_argument("after", metavar="B", help="folder of another dataset of the same source")
    parser.add_argument("--force", action="store_true", help="compare different sources too, by picture and caption")
    add_selection(parser)


def _diff(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.diff import diff

    return DONE, diff(
        options.before,
        options.after,
        selection=given_selection(options),
        force=options.force,
        progress=not options.json,
    )


def _add_import(commands: Any) -> None:
    parser = add_command(
        commands, "import", _import, "bring human annotations into the project's dataset format", goes_on=True
    )
    parser.add_argument("format", choices=GOLD_FILES, help="format of the annotations: %(choices)s", metavar="FORMAT")
    parser.add_argument("source", type=local_path, help="folder or file of the annotations")
    add_out(parser, "folder of the dataset")
    parser.add_argument(
        "--images",
        metavar="FOLDER",
        type=local_path,
        help="folder of the images, if they are not beside the annotations",
    )
    parser.add_argument(
        "--split", metavar="NAME", help="if the source lists splits: train, val, testA, ... (default: all)"
    )


def _import(options: argparse.Namespace) -> tuple[int, Any]:
    from engine.gold import import_gold
    from pipelines.console.number_formats import counted
    from pipelines.console.progress import tracked

    watch = partial(tracked, doing="importing", shown=not options.json)
    card = import_gold(
        options.format, options.source, options.out, images=options.images, split=options.split, watch=watch
    )
    if not options.json:
        reasons = ", ".join(f"{count} {reason}" for stage in card.stages for reason, count in stage.dropped.items())
        parts = [counted(card.samples, "sample"), counted(card.phrases, "phrase"), counted(card.boxes, "box", "boxes")]
        parts.append(counted(card.rejects, "reject"))
        print(f"{options.out}: {', '.join(parts)}{f' ({reasons})' if reasons else ''}")
    return DONE, card


def _add_export(commands: Any) -> None:
    parser = add_command(commands, "export", _export, "write a dataset in another project's format")
    parser.add_argument("dataset", help="folder of the dataset")
    parser.add_argument("--format", required=True, choices=EXPORT_FORMATS, help="%(choices)s", metavar="FORMAT")
    add_out(parser, "folder to write, empty or new")
    parser.add_argument("--images", action="store_true", help="write the pictures too; an EXIF orientation becomes 1")
    add_selection(parser)


def _export(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.export import export

    return DONE, export(
        options.dataset,
        options.out,
        format=options.format,
        selection=given_selection(options),
        images=options.images,
        progress=not options.json,
    )
