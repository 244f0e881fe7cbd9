"""The command line: arguments in, exit status out; nothing else.

Exit status 0: done; 1: the job failed, or ``verify`` found a problem; 2: bad usage or input, with one line that says
what was wanted and what to do; 130: interrupted by Ctrl-C or SIGTERM; 141: the reader of the output has closed it. The
commands lie beside this file, one file for each group.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout, suppress

from pydantic import ValidationError
from pydantic_core import to_json

from engine.made_by import code_version
from pipelines.commands import datasets, installation, labelling, models, retraining, reviewing, training
from pipelines.commands.arguments import Command
from pipelines.commands.closed_output import open_missing_streams, output_is_closed, silence_output
from pipelines.commands.exit_status import CLOSED, FAILED, INTERRUPTED, INVALID
from pipelines.commands.output_letters import escape_what_cannot_be_printed
from pipelines.commands.parser import HelpFormatter, Parser
from pipelines.console.stop_signals import ended_by_sigterm
from pipelines.console.terminal import visible, with_notes
from schemas.recipes import explain


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status and never raises for a user's mistake.

    SIGTERM acts as Ctrl-C, except on commands that finish what was begun. If the reader of the output has closed it,
    the command ends without a word.
    """
    open_missing_streams()
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()  # here, since at the interpreter's end it would complain
    except BrokenPipeError:
        if not output_is_closed():
            raise
        silence_output()
        return CLOSED
    except OSError as error:  # of the output: those of a command have been told
        with suppress(OSError):  # where both outputs go into one file
            sys.stderr.write(f"glip-engine: error: the output cannot be written: {error.strerror}\n")
        silence_output()
        return FAILED


def _run(arguments: Sequence[str] | None) -> int:
    escape_what_cannot_be_printed()
    options = command_line().parse_args(arguments)
    command: Command = options.command
    try:
        printed = redirect_stdout(sys.stderr) if options.json else nullcontext()  # Ray tells of workers that died
        _check_text(options)
        _check_folder()
        with ended_by_sigterm(), printed:
            status, result = command(options)
    except KeyboardInterrupt:
        again = "; run the same command again to resume" if options.goes_on else ""
        return _fail(options, f"interrupted{again}", INTERRUPTED)
    except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        return _fail(options, with_notes(_message(error), error), INVALID)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and output_is_closed():
            raise
        return _fail(options, with_notes(_message(error), error), FAILED)
    if options.json:
        print(to_json(result, indent=1, inf_nan_mode="null").decode())
    return status


def _check_text(options: argparse.Namespace) -> None:
    """ValueError where an argument is not text: no JSON or table that names it could be written."""
    encoding = sys.getfilesystemencoding()
    what_to_do = "give a file or folder another name" if encoding == "utf-8" else "set PYTHONUTF8=1, or another locale"
    for value in vars(options).values():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, str) and (shown := one.encode("utf-8", "backslashreplace").decode()) != one:
                raise ValueError(f"the argument '{shown}' is not {encoding.upper()}; {what_to_do}")


def _check_folder() -> None:
    """FileNotFoundError where the folder that the command was started in has been deleted."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise FileNotFoundError("the working directory has been deleted; change into another one (`cd`)") from None


def _fail(options: argparse.Namespace, message: str, status: int) -> int:
    if options.debug:
        traceback.print_exc()
    one_line = " ".join(message.split())
    if options.json:
        print(json.dumps({"error": one_line, "status": status}, ensure_ascii=False))
    print(f"glip-engine: error: {visible(one_line)}", file=sys.stderr)
    return status


def _message(error: Exception) -> str:
    """For errors of the operating system the file and the reason; for our own the message."""
    if isinstance(error, ValidationError):
        return explain(error)
    if isinstance(error, FileExistsError) and error.filename is not None:  # of mkdir alone
        return f"{error.filename} is there already and is no folder; give another one to write"
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"{error.filename}: {(error.strerror or type(error).__name__).lower()}"
    ours = isinstance(error, ValueError | FileNotFoundError | NotADirectoryError | IsADirectoryError)
    if ours or type(error) is RuntimeError:  # which our stores raise, in a sentence; its subclasses are libraries'
        return str(error)
    return f"{type(error).__name__}: {error}"


def command_line() -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="glip-engine",
        description="A self-training data engine for grounding: captions in, boxes and students out.",
        epilog="`glip-engine COMMAND --help` shows options and examples; `glip-engine doctor` checks what works here.\n"
        "exit status: 0 done, 1 failed or found a problem, 2 bad usage or input, 130 interrupted",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {code_version()}", help="print the version")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for group in (labelling, training, retraining, datasets, reviewing, models, installation):
        group.add(commands)
    return parser
