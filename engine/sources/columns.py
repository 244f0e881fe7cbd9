"""Which column holds what, and which rows repeat a key: what the table-like sources share.

In: the names of columns, or the texts of a key column. Out: the column to read, the numbers of rows to reject, and what
decides the samples of one file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engine.artifacts import digest_of
from engine.shards import valid_key
from engine.sources.image_files import Problem

CAPTION_NAMES = ("caption", "text", "txt", "alt_text", "top_caption")
URL_NAMES = ("url", "image_url", "image_link")
IMAGE_NAMES = ("image", "img", "jpg", "image_path", "file_name")


def pick_column(there: Sequence[str], wanted: str | None, usual: Sequence[str], what: str, where: str) -> str:
    """The column ``wanted``, or the first of the ``usual`` ones in any case. ValueError says what there is."""
    if wanted is not None:
        if wanted in there:
            return wanted
        raise ValueError(f"{where} has no column {wanted!r} for the {what}; it has {', '.join(there)}")
    lower = {name.lower(): name for name in reversed(there)}
    found = next((lower[name] for name in usual if name in lower), None)
    if found is None:
        raise ValueError(
            f"{where} has none of the columns {', '.join(usual)} for the {what}; it has {', '.join(there)}: name one "
            f"with source.{what}_column"
        )
    return found


def row_key(number: int) -> str:
    """The key of a row that has none of its own: its number in the whole source."""
    return f"{number:09d}"


def name_row(
    row: Mapping[str, Any], key_column: str | None, number: int, repeats: Container[int]
) -> tuple[str, Problem | None]:
    """The key of row ``number``, of its column where there is one; and why it names no sample, if so."""
    fault = key_fault(row.get(key_column)) if key_column else None
    if fault:
        return row_key(number), Problem("key_invalid", fault)
    key = str(row[key_column]) if key_column else row_key(number)
    if number in repeats:
        return key, Problem("key_duplicate", "an earlier row has this key; the first one counts")
    return key, None


def key_fault(key: object) -> str | None:
    """Why a value of a key column is no key, or None."""
    if not isinstance(key, str) or not valid_key(key):
        return "a key has 1 to 200 characters without dot, slash, backslash or control character"
    return None


ShortDigests = npt.NDArray[np.uint64]


class RepeatedRows:
    """Numbers of the rows whose key an earlier row has; None is no key and never repeats."""

    def __init__(self, keys: Iterable[object] = ()) -> None:
        """``keys`` of all rows, in order."""
        self._rows = repeats(short_digests(keys))

    def __contains__(self, row: object) -> bool:
        place = np.searchsorted(self._rows, row)  # type: ignore[call-overload]
        return bool(place < len(self._rows) and self._rows[place] == row)

    def among(self, rows: range) -> list[int]:
        """Those of a run of rows."""
        first, last = np.searchsorted(self._rows, (rows.start, rows.stop))
        found: list[int] = self._rows[first:last].tolist()
        return found


def short_digests(keys: Iterable[object]) -> ShortDigests:
    """What tells keys apart in 8 bytes each; 0 for what is no key."""
    return np.fromiter((short_digest(key) for key in keys), dtype=np.uint64)


def repeats(digests: ShortDigests) -> npt.NDArray[np.int64]:
    """Places of the keys that stand at an earlier place too, ascending."""
    order = np.argsort(digests, kind="stable")
    ordered = digests[order]
    return np.sort(order[1:][(ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)])


def short_digest(key: object) -> int:
    """Of one key."""
    if not isinstance(key, str):
        return 0
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "big")


class NumberedRows(Protocol):
    """The rows of several files, numbered through from 0."""

    def numbers(self, name: str) -> range: ...

    def file_digest(self, name: str) -> str: ...


def part_digest(columns: Sequence[str | None], rows: NumberedRows, repeated: RepeatedRows, name: str) -> str:
    """Digest of all that decides the samples of one file: the columns that are read, its content, the numbers of its
    rows, which keys are made of, and which of them repeat a key of an earlier file."""
    numbers = rows.numbers(name)
    return digest_of([*columns, name, rows.file_digest(name), numbers.start, repeated.among(numbers)])


def stripped_caption(value: object) -> str | None:
    """The caption of a table's cell without white space around it; None where the cell holds no text."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()  # half a surrogate pair, which no file of ours could hold
    except UnicodeEncodeError:
        return None
    return value.strip() or None
