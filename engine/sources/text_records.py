"""Records of an open text file, one after another: lines; of a CSV, lines that quotes hold together.

In: a file that stands where a record begins. Out: its bytes, and of a CSV its fields. Files come from outside: a line
that is too long, or a quote that nothing closes, is one bad record, and the next one begins with the next line.

Source: RFC 4180, as Python's ``csv`` reads it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from engine.sources.image_files import Problem
from engine.sources.sayable import sayable

MAX_LINE_BYTES = 1_000_000
MAX_RECORD_LINES = 100  # that one quoted text may have
# What is said of a row with more fields than names, which would lose the end of its caption silently.
_MORE = "more fields than the line of names has; in a CSV a text with the separator in it stands in quotes"


def next_line(file: BinaryIO) -> bytes | None:
    """The next line, empty at the end; None where it is too long, and then passed over."""
    line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) <= MAX_LINE_BYTES:
        return line
    while line and not line.endswith(b"\n"):
        line = file.readline(MAX_LINE_BYTES)
    return None


def separator_of(file: BinaryIO) -> str:
    """What separates the fields of a CSV that stands at its start, and stays there: what splits its first line most."""
    first = (next_line(file) or b"").decode("latin-1")
    file.seek(0)
    return max(",\t;|", key=first.count)


def next_csv_record(file: BinaryIO, separator: str) -> bytes | None:
    """As :func:`next_line`, with the lines that a quoted text goes on in. Where no record ends, the line alone."""
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
    """The fields of a record, where bytes that are no UTF-8 are halves of surrogate pairs; csv.Error where it is
    none."""
    return next(_reader(iter([record.decode("utf-8-sig", "surrogateescape")]), separator))


def csv_cells(record: bytes | None, names: Sequence[str] | None, separator: str) -> dict[str, Any] | Problem:
    """A record by the names of its columns. Reasons: ``row_unreadable``, and that of :func:`named_cells`."""
    if record is None:
        return Problem("row_unreadable", f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        fields = csv_fields(record, separator)
    except csv.Error as error:
        return Problem("row_unreadable", f"the line is not a record of a CSV: {error}")
    return named_cells(fields, names)


def named_cells(fields: Sequence[str], names: Sequence[str] | None) -> dict[str, Any] | Problem:
    """Fields by the names of their columns, or by number where there are none; ``row_invalid`` where they are more than
    the names."""
    if names is not None and len(fields) > len(names):
        return Problem("row_invalid", f"{sayable(fields[0][:80])!r}: {_MORE}")
    return dict(zip(names or map(str, range(len(fields))), fields, strict=False))


def _reader(lines: Iterator[str], separator: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)


def _and_further_lines(file: BinaryIO, lines: list[bytes]) -> Iterator[str]:
    """The one of ``lines``, then those after it in the file, which are appended as they are asked for."""
    yield lines[0].decode("latin-1")
    while len(lines) < MAX_RECORD_LINES and (line := next_line(file)):
        lines.append(line)
        yield line.decode("latin-1")
