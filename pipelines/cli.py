"""The command line: arguments in, exit status out; nothing else.

Exit status 0: done; 1: the job failed, or ``verify`` found a problem; 2: bad usage or input, with one line that says
what was wanted and what to do. The commands stand in ``pipelines/commands/``, a file for each group.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Any

from pydantic import BaseModel, ValidationError

from pipelines.commands import datasets, installation, labelling, models, retraining, reviewing, training
from pipelines.commands.arguments import Command
from pipelines.exit_status import FAILED, INVALID
from schemas.recipes import explain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status and never raises for a user's mistake."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        with redirect_stdout(sys.stderr) if options.json else nullcontext():  # Ray prints of workers that died
            status, result = command(options)
    except KeyboardInterrupt:
        return _fail(options, "interrupted; run the same command again to go on where it stopped", FAILED)
    except ValidationError as error:
        return _fail(options, explain(error), INVALID)
    except (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        return _fail(options, str(error), INVALID)
    except Exception as error:
        return _fail(options, f"{type(error).__name__}: {error}", FAILED)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glip-engine",
        description="A self-training data engine for grounding: captions in, boxes and students out.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for group in (labelling, training, retraining, datasets, reviewing, models, installation):
        group.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
