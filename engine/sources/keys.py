"""The keys of a source's rows, from a column or the row's number, and the rows that repeat an earlier key.

In: the values of a key column, or numbers of rows. Out: keys, and the numbers of the rows whose key an earlier row has;
finding them takes eight bytes of memory a key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.shards import valid_key
from engine.sources import Problem
from engine.sources.sayable import sayable

ShortDigests = npt.NDArray[np.uint64]


def row_key(number: int) -> str:
    """The key of a row without a key column: its number in the whole source."""
    return f"{number:09d}"


def key_of(
    row: Mapping[str, Any], key_column: str | None, number: int, repeated: Container[int]
) -> tuple[str, Problem | None]:
    """The key of row ``number``, from its key column if there is one; and a Problem where it is invalid or repeated."""
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
    """An invalid key for a message or a table of rejects: what is not UTF-8 is escaped, at most 200 characters."""
    return sayable(key)[:200]


class RepeatedRows:
    """The numbers of the rows whose key an earlier row has. An invalid key never counts as repeated."""

    def __init__(self, keys: Iterable[object] = ()) -> None:
        """``keys``: the cells of the key column of all rows, in order; an invalid one may be of any type and size."""
        texts = (text if text is not None and valid_key(text) else None for text in map(key_text, keys))
        self._rows = repeats(short_digests(texts))

    def among(self, rows: range) -> list[int]:
        """The repeated ones in a range of rows."""
        first, last = np.searchsorted(self._rows, (rows.start, rows.stop))
        found: list[int] = self._rows[first:last].tolist()
        return found


def short_digests(keys: Iterable[object]) -> ShortDigests:
    """The digests of keys, 8 bytes each; 0 for what is no text."""
    return np.fromiter((short_digest(key) for key in keys), dtype=np.uint64)


def repeats(digests: ShortDigests) -> npt.NDArray[np.int64]:
    """The indices of the digests that occur at an earlier index, ascending. Zeros never repeat."""
    order = np.argsort(digests, kind="stable")
    ordered = digests[order]
    return np.sort(order[1:][(ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)])


def short_digest(key: object) -> int:
    """The digest of one key in 8 bytes; 0 for what is no text."""
    if not isinstance(key, str):
        return 0
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
