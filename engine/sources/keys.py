"""The keys of a source's rows: of a column, or the row's number; and which rows repeat one.

In: the values of a key column, or numbers of rows. Out: keys, and the numbers of the rows whose key an earlier row has,
for which eight bytes a key are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.shards import valid_key
from engine.sources.image_files import Problem
from engine.sources.sayable import sayable

ShortDigests = npt.NDArray[np.uint64]


def row_key(number: int) -> str:
    """The key of a row that has none of its own: its number in the whole source."""
    return f"{number:09d}"


def key_of(
    row: Mapping[str, Any], key_column: str | None, number: int, repeated: Container[int]
) -> tuple[str, Problem | None]:
    """The key of row ``number``, of its column where there is one; and why it names no sample, if so."""
    key = key_text(row.get(key_column)) if key_column else row_key(number)
    if key is None or not valid_key(key):
        fault = "a key is a whole number, or 1 to 200 characters without dot, slash, backslash or control character"
        advice = "the row is named by its number, as all are without source.key_column"
        return row_key(number), Problem("key_invalid", f"{fault}; {advice}")
    if number in repeated:
        return key, Problem("key_duplicate", "an earlier row has this key; the first one counts")
    return key, None


def key_text(cell: object) -> str | None:
    """A cell of a key column as text; None where it is neither text nor a whole number."""
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    return cell if isinstance(cell, str) else None


def printable(key: str) -> str:
    """What stands for a name that is no key, as text that any file can hold: escapes for what is no UTF-8, at most 200
    characters."""
    return sayable(key)[:200]


class RepeatedRows:
    """Numbers of the rows whose key an earlier row has; None is no key and never repeats."""

    def __init__(self, keys: Iterable[object] = ()) -> None:
        """``keys`` of all rows, in order. What is no key, which may be megabytes, is not digested."""
        texts = (text if text is not None and valid_key(text) else None for text in map(key_text, keys))
        self._rows = repeats(short_digests(texts))

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
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
