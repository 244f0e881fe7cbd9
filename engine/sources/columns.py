"""Choosing a column by its name, and the text of a cell: shared by the sources with columns.

In: the names of columns, or a cell. Out: the column to read, or the text, or the reason why there is none.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from engine.sources import Problem

CAPTION_NAMES = ("caption", "text", "txt", "alt_text", "top_caption")
URL_NAMES = ("url", "image_url", "image_link")
IMAGE_NAMES = ("image", "img", "jpg", "png", "webp", "image_path", "file_name")


@dataclass(frozen=True, slots=True)
class Oversized:
    """A placeholder for a cell of too many bytes; ``size`` is their number."""

    size: int


def field_names(rows: Iterable[object]) -> list[str]:
    """The names of all fields of the rows that are mappings, in the order of their first occurrence."""
    return list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))


def lists_urls(there: Iterable[str], picture_names: Collection[str]) -> bool:
    """Whether columns look like a list of urls: one is a url column, and none has pictures."""
    names = {name.lower() for name in there}
    return not names.isdisjoint(URL_NAMES) and names.isdisjoint(picture_names)


def pick_column(there: Sequence[str], wanted: str | None, usual: Sequence[str], what: str, where: str) -> str:
    """The column ``wanted``, or else the first of the ``usual`` names that there is, ignoring case. ValueError, with
    the columns that there are, where none fits."""
    if wanted is not None:
        if wanted in there:
            return wanted
        raise ValueError(no_column(wanted, there, where, f" for the {what}"))
    lower = {name.lower(): name for name in reversed(there)}
    found = next((lower[name] for name in usual if name in lower), None)
    if found is None:
        raise ValueError(
            f"{where} has none of the columns {', '.join(usual)} for the {what}; it has {', '.join(there)}: name one "
            f"with source.{what}_column"
        )
    return found


def no_column(wanted: str, there: Collection[str], where: str, purpose: str = "") -> str:
    """The message about a missing column: the most similar name, and all columns that there are."""
    lower = {name.lower(): name for name in there}
    like = difflib.get_close_matches(wanted.lower(), lower, n=1)
    meant = f"did you mean {lower[like[0]]!r}? " if like else ""
    return f"{where} has no column {wanted!r}{purpose}; {meant}it has {', '.join(there)}"


def cell_text(cell: object, what: str, column: str) -> str | Problem:
    """The text of a cell without surrounding white space. Reasons: ``{what}_missing``, ``{what}_too_long``, and
    ``{what}_unreadable`` where it is not UTF-8, so that no file of ours could hold it."""
    if isinstance(cell, Oversized):
        return Problem(f"{what}_too_long", f"the text in column {column!r} has {cell.size} bytes, too many to be read")
    text = cell.strip() if isinstance(cell, str) else ""
    if not text:
        return Problem(f"{what}_missing", f"no text in column {column!r}")
    if not is_encodable(text):
        return Problem(f"{what}_unreadable", f"the text in column {column!r} is not UTF-8")
    return text


def is_encodable(text: str) -> bool:
    """Whether a text can be written as UTF-8. It cannot with a lone surrogate, which JSON may contain, and which stands
    for a byte that is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
