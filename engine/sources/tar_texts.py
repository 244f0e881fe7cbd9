"""The text members of a tar's samples: the caption, and the fields of the ``.json``.

In: an open tar and the places of a sample's members. Out: text, fields, or the reason why there are none. Members are
untrusted, and read only up to a size.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, BinaryIO

from engine.sources import Problem
from engine.sources.columns import field_names, is_encodable
from engine.sources.tar_index import Member, Row

MAX_TEXT_BYTES = 1_000_000


def read_caption(file: BinaryIO, row: Row, field: str | None) -> str | Problem:
    """The caption of a row: from its ``.txt``, or, where it has none or a ``field`` is given, from its ``.json``.

    Reasons: ``caption_missing``, ``caption_unreadable``, ``caption_too_long``. The caption may be empty.
    """
    if field is None and "txt" in row.members:
        text = _read_text(file, row.members["txt"])
        return text if isinstance(text, Problem) else text.strip()
    if "json" not in row.members:
        wanted = "neither .txt nor .json" if field is None else f"no .json with the field {field!r}"
        return Problem("caption_missing", f"the sample has {wanted}{_second_dot(row)}")
    fields = read_fields(file, row)
    if isinstance(fields, Problem):
        return fields
    caption = fields.get(field or "caption")
    if not isinstance(caption, str):
        return Problem(
            "caption_missing", f"the .json has no text in its field {field or 'caption'!r}; see source.caption_field"
        )
    return caption.strip() if is_encodable(caption) else Problem("caption_unreadable", "the caption is not UTF-8 text")


def _second_dot(row: Row) -> str:
    """Advice for a text member that is not the caption only because its name has a second dot; else ""."""
    extension = next((name for name in row.members if name.endswith((".txt", ".json"))), None)
    if extension is None:
        return ""
    return f"; a key ends at the first dot, and {row.key}.{extension} has a second one: pack the names without it"


def read_fields(file: BinaryIO, row: Row) -> dict[str, Any] | Problem:
    """The fields of a row's ``.json``; empty where it has no ``.json``, or no object in it. Reasons as of captions."""
    return _fields(file, row.members["json"]) if "json" in row.members else {}


def member_fields(file: BinaryIO, members: Iterable[Member]) -> list[str]:
    """The names of the fields of ``.json`` members, in the order of their first occurrence."""
    return field_names(_fields(file, member) for member in members)


def read_member(file: BinaryIO, member: Member) -> bytes:
    """The bytes of a member."""
    file.seek(member.offset)
    return file.read(member.size)


def _fields(file: BinaryIO, member: Member) -> dict[str, Any] | Problem:
    text = _read_text(file, member)
    if isinstance(text, Problem):
        return text
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Problem("caption_unreadable", f"the .json is not JSON: {type(error).__name__}")
    return fields if isinstance(fields, dict) else {}


def _read_text(file: BinaryIO, member: Member) -> str | Problem:
    if member.size > MAX_TEXT_BYTES:
        return Problem(
            "caption_too_long", f"the text's member has {member.size} bytes, at most {MAX_TEXT_BYTES} are read"
        )
    try:
        return read_member(file, member).decode("utf-8-sig")
    except UnicodeDecodeError:
        return Problem("caption_unreadable", "the text's member is not UTF-8")
