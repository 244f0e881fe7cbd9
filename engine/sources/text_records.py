"""The records of an open text file, one after another: lines, or in a CSV several lines that quotes join.

In: a file, at the start of a record. Out: the record's bytes, and its cells by column name. Files are untrusted: a line
that is too long, or a quote that is never closed, is one bad record, and the next one begins with the next line.

Source: RFC 4180, as Python's ``csv`` reads it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from engine.sources import Problem
from engine.sources.sayable import sayable

MAX_LINE_BYTES = 1_000_000
MAX_RECORD_LINES = 100  # at most in one record of a CSV
TOO_LONG = Problem("row_unreadable", f"the line is longer than {MAX_LINE_BYTES} bytes")
# The message about a row with more fields than names, which would otherwise lose the end of its caption silently.
_MORE = "more fields than the line of names has; in a CSV a text with the separator in it stands in quotes"


def next_line(file: BinaryIO) -> bytes | None:
    """The next line; empty at the end of the file; None for a line that is too long, which is skipped."""
    line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) <= MAX_LINE_BYTES:
        return line
    while line and not line.endswith(b"\n"):
        line = file.readline(MAX_LINE_BYTES)
    return None


def separator_of(file: BinaryIO) -> str:
    """The separator of a CSV: the one that splits its first line most. The file is left at its start."""
    first = (next_line(file) or b"").decode("latin-1")
    file.seek(0)
    return max(",\t;|", key=first.count)


def next_csv_record(file: BinaryIO, separator: str) -> bytes | None:
    """Like :func:`next_line`, with the further lines of a quoted text; only the line if its quote is never closed."""
    line = next_line(file)
    if not line or b'"' not in line:
        return line
    at, lines = file.tell(), [line]
    try:
        next(_reader(_and_further_lines(file, lines), separator))
    except csv.Error:
        file.seek(at)
        return line
    return b"".join(lines)


def csv_fields(record: bytes, separator: str) -> list[str]:
    """The fields of a record; bytes that are not UTF-8 become lone surrogates. csv.Error where it is no record."""
    return next(_reader(iter([record.decode("utf-8-sig", "surrogateescape")]), separator))


def csv_cells(record: bytes | None, names: Sequence[str] | None, separator: str) -> dict[str, Any] | Problem:
    """The cells of a record by column name. Reasons: ``row_unreadable``, and that of :func:`named_cells`."""
    if record is None:
        return TOO_LONG
    try:
        fields = csv_fields(record, separator)
    except csv.Error as error:
        return Problem("row_unreadable", f"the line is not a record of a CSV: {error}")
    return named_cells(fields, names)


def json_cells(line: str) -> dict[str, Any] | Problem:
    """The cells of a line that is a JSON object; ``row_unreadable`` for any other line."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Problem("row_unreadable", f"the line is not JSON: {type(error).__name__}")
    if isinstance(found, dict):
        return found
    return Problem("row_unreadable", f"the line is a JSON {type(found).__name__}, no object")


def named_cells(fields: Sequence[str], names: Sequence[str] | None) -> dict[str, Any] | Problem:
    """Fields by column name, or by number ("0", "1", …) where there are no names; ``row_invalid`` where there are more
    fields than names."""
    if names is not None and len(fields) > len(names):
        return Problem("row_invalid", f"{sayable(fields[0][:80])!r}: {_MORE}")
    return dict(zip(names or map(str, range(len(fields))), fields, strict=False))


def _reader(lines: Iterator[str], separator: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)


def _and_further_lines(file: BinaryIO, lines: list[bytes]) -> Iterator[str]:
    """The first of ``lines``, then the next lines of the file, each of which is appended to ``lines``."""
    yield lines[0].decode("latin-1")
    while len(lines) < MAX_RECORD_LINES and (line := next_line(file)):
        lines.append(line)
        yield line.decode("latin-1")
