"""Text from data on the terminal: it is printed as text, and the terminal obeys nothing in it.

In: text from captions, class names, file names, entries of weights. Out: the same without control characters; or a
console whose tables do not take ``[/b]`` and ``:dog:`` for markup. An error is told with its notes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the help and a mistake in what was typed need no table
    from rich.console import Console

_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # escape and its like; a line end and a tab stay


def visible(text: str) -> str:
    r"""The text with control characters as escapes.

    >>> print(visible("a dog\x1b[2J"))
    a dog\x1b[2J
    """
    return _OBEYED.sub(lambda sign: f"\\x{ord(sign[0]):02x}", text)


def with_notes(message: str, error: Exception) -> str:
    """The message of an error and its notes, such as advice, or where its traceback is."""
    return "; ".join([message, *getattr(error, "__notes__", [])])


def plain_console() -> Console:
    """A console for tables of data. What is printed on it goes through :func:`visible` first."""
    from rich.console import Console

    return Console(markup=False, emoji=False)
