"""Commands that convert models, keep them in a registry, and tell what they were made from."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.arguments import CHECKPOINT, add_command, add_out, add_published, add_registry, count
from pipelines.commands.exit_status import DONE, FAILED


def add(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    _add_convert(commands)
    _add_promote(commands)
    _add_rollback(commands)
    _add_history(commands)
    _add_show(commands)
    _add_mirror(commands)
    _add_lineage(commands)


def _add_convert(commands: Any) -> None:
    parser = add_command(
        commands, "convert", _convert, "turn a published checkpoint into a model folder: safetensors and config"
    )
    parser.add_argument("source", help=CHECKPOINT)
    add_out(parser, "folder of the model", local=True)
    add_published(parser)


def _convert(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.convert import convert, print_result

    result = convert(options.source, options.out, tokenizer=options.tokenizer, sha256=options.sha256)
    if not options.json:
        print_result(result)
    return DONE, result


def _add_promote(commands: Any) -> None:
    parser = add_command(
        commands, "promote", _promote, "make a model the current version of a registry, if the gate let it pass"
    )
    parser.add_argument("source", help="folder of a generation, a training run or a model, or 'nano'")
    parser.add_argument("--registry", required=True, metavar="URI", help="folder or s3:// prefix of the registry")
    parser.add_argument("--decision", metavar="FILE", help="the gate's record (default: the generation's own)")
    parser.add_argument("--force", metavar="REASON", help="promote without the gate; the reason is recorded")


def _promote(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.registry import promote

    return DONE, promote(
        options.source,
        options.registry,
        decision=options.decision,
        force=options.force,
        progress=not options.json,
    )


def _add_rollback(commands: Any) -> None:
    parser = add_command(commands, "rollback", _rollback, "return to the version that the current one replaced")
    add_registry(parser)
    parser.add_argument("--to", type=count, metavar="N", help="return to this version instead")
    parser.add_argument("--reason", default="", help="recorded in the history")


def _rollback(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.registry import rollback

    return DONE, rollback(options.registry, to=options.to, reason=options.reason, progress=not options.json)


def _add_history(commands: Any) -> None:
    parser = add_command(commands, "history", _history, "list who promoted what into a registry, when and why")
    add_registry(parser)


def _history(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.registry import history

    result = history(options.registry, progress=not options.json)
    return (FAILED if result.problems else DONE), result


def _add_show(commands: Any) -> None:
    parser = add_command(commands, "show", _show, "check every file of a registry's versions by its SHA-256")
    add_registry(parser)
    parser.add_argument("--version", type=count, metavar="N", help="check only this version")


def _show(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.registry import show

    result = show(options.registry, version=options.version, progress=not options.json)
    damaged = result.problems or any(one.problem for one in result.versions if one.was_current)
    return (FAILED if damaged else DONE), result


def _add_mirror(commands: Any) -> None:
    what = "mirror a registry in MLflow's model registry, and bring the mirror up to date"
    parser = add_command(commands, "mirror", _mirror, what)
    add_registry(parser)
    parser.add_argument(
        "--model", metavar="NAME", help="registered model in MLflow that follows the registry from now on"
    )


def _mirror(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.mirror import mirror

    result = mirror(options.registry, model=options.model, progress=not options.json)
    return (DONE if result.problem is None else FAILED), result


def _add_lineage(commands: Any) -> None:
    parser = add_command(
        commands, "lineage", _lineage, "show what an artefact was made from, down to source slices and seeds"
    )
    parser.add_argument("artefact", help="folder of a generation, dataset, run or model, or registry:URI@N")


def _lineage(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.lineage.tree import lineage

    return DONE, lineage(options.artefact, progress=not options.json)
