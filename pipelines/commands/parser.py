"""The parser of the command line: a mistake is one line that says what may have been meant, and where the help is.

In: what was typed. Out: options; or a line on the standard error, with ``--json`` a document too, and exit status 2.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from pipelines.commands.examples import EXAMPLES
from pipelines.commands.exit_status import INVALID

_INVALID_CHOICE = re.compile(
    r"argument (?P<what>.+): invalid choice: '?(?P<came>.*?)'? \(choose from (?P<choices>.*)\)"
)


class _UsageError(Exception):
    """A mistake in what was typed: one line, and the parser's name before it."""

    def __init__(self, prog: str, line: str) -> None:
        super().__init__(f"{prog}: error: {line}")
        self.line = line


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose messages name the nearest command, option or choice."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse's, but an unknown option is reported by the command that lacks it."""
        given = sys.argv[1:] if args is None else list(args)
        if not given:
            self.print_help(sys.stderr)
            self.exit(INVALID)
        try:
            return self._options(given, namespace)
        except _UsageError as error:
            if "--json" in given:
                print(json.dumps({"error": error.line, "status": INVALID}, ensure_ascii=False))
            self.exit(INVALID, f"{error}\n")

    def _options(self, given: Sequence[str], namespace: Any) -> Any:
        options, unknown = self.parse_known_args(given, namespace)
        if unknown:
            parser: Parser = getattr(options, "parser", self)
            parser.error(parser.why_unknown(unknown))
        return options

    def why_unknown(self, unknown: Sequence[str]) -> str:
        """Why arguments were not understood: the option that may be meant, or how there came to be too many."""
        wrong = next((one for one in unknown if one.startswith("-")), None)
        if wrong is None:
            return f"more arguments than it takes: {', '.join(unknown[:3])} (put a glob or several words in quotes)"
        options = [one for action in self._actions for one in action.option_strings if one.startswith("--")]
        return f"no option {wrong!r}{_nearest(wrong.partition('=')[0], options)}"

    def error(self, message: str) -> NoReturn:
        """One line that says what may have been meant; :meth:`parse_args` ends with it."""
        found = _INVALID_CHOICE.fullmatch(message)
        if found is not None:
            choices = re.findall(r"[\w-]+", found["choices"])
            near = _nearest(found["came"], choices) or f"; there are: {', '.join(choices)}"
            message = f"no {found['what'].lower()} {found['came']!r}{near}"
        see = " See" if message.endswith("?") else "; see"
        raise _UsageError(self.prog, f"{message}{see} {self.prog} --help")


def _nearest(word: str, words: Sequence[str]) -> str:
    like = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {like[0]!r}?" if like else ""


def examples_of(command: str) -> str:
    """The end of a command's help."""
    lines = "\n".join(f"  glip-engine {command} {example}".rstrip() for example in EXAMPLES[command])
    return f"examples:\n{lines}"


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Examples stay in lines of their own, and options have room beside their texts."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def add_argument(self, action: argparse.Action) -> None:
        """As argparse's, which forgets that the names of commands are indented once more."""
        super().add_argument(action)
        self._action_max_length += self._indent_increment
