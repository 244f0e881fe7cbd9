"""The command that opens a dataset for people to look at and to judge."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.arguments import add_command, add_selection, given_selection
from pipelines.commands.exit_status import DONE


def add(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    _add_serve(commands)


def _add_serve(commands: Any) -> None:
    parser = add_command(
        commands,
        "serve",
        _serve,
        "serve a page on this machine to search a dataset and to accept, reject and correct boxes",
    )
    parser.add_argument("dataset", help="folder of the dataset; only verdicts are added to it")
    parser.add_argument("--reviewer", metavar="NAME", help="name on your verdicts (default: that of your account)")
    parser.add_argument("--port", type=int, default=0, help="port of the loopback (default: any free one)")
    parser.add_argument("--open", action="store_true", help="open the page in this machine's browser")
    add_selection(parser)


def _serve(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.serve import serve

    return DONE, serve(
        options.dataset,
        port=options.port,
        reviewer=options.reviewer,
        selection=given_selection(options),
        browser=options.open,
    )
