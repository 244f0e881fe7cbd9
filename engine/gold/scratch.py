"""What an import looks up and memory may not hold: tables in a temporary file, and the keys of rows in one of them.

In: rows as they are read. Out: SQL over them, a few megabytes of memory however many there are. The file has no name
from the moment that it is opened: nothing is left of it when the process ends, however it ends. ``TMPDIR`` says on
which disk it lies. Source: SQLite's documentation, "In-Memory Databases", section 2 (temporary databases).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

CACHE_KIB = 16_000
Stored: TypeAlias = int | bytes | str | None
Row: TypeAlias = tuple[Stored, ...]


class Scratch:
    """A database of its own, in a file that is deleted while it is open, and freed with this object."""

    def __init__(self) -> None:
        # Whatever thread collects the garbage closes it. Nothing is rolled back: after an error the file is gone.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._connection.execute("PRAGMA journal_mode = OFF")

    def __del__(self) -> None:
        self._connection.close()  # which is in a cycle with its own cache of statements

    def select(self, statement: str, *values: Stored) -> Iterator[Any]:
        """The rows that ``statement`` finds, with ``values`` in the places of its question marks."""
        return self._connection.execute(statement, values)

    def fill(self, table: str, columns: str, rows: Iterable[Row]) -> None:
        """Make ``table`` of ``rows``, taken one by one. What they raise goes through; RuntimeError on a full disk."""
        self._execute(f"CREATE TABLE {table} ({columns})")
        places = ", ".join("?" for _ in columns.split(","))
        self._execute("BEGIN")
        self._execute(f"INSERT INTO {table} VALUES ({places})", rows)
        self._execute("COMMIT")

    def index(self, table: str, column: str) -> None:
        """Make the rows of ``table`` quick to find by ``column``. RuntimeError on a full disk."""
        self._execute(f"CREATE INDEX {table}_by_{column} ON {table} ({column})")

    def _execute(self, statement: str, rows: Iterable[Row] | None = None) -> None:
        try:
            if rows is None:
                self._connection.execute(statement)
            else:
                self._connection.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            raise RuntimeError(
                f"no room for the tables of an import on the disk of temporary files ({error}); free some, or set "
                "TMPDIR to a folder of another disk, and run the same command again"
            ) from error


class RowsByKey:
    """Which row is the first to have a key; a row whose key is None has none."""

    def __init__(self, keys: Iterable[Any]) -> None:
        self._database = Scratch()
        numbered = enumerate(stored(key) for key in keys)
        self._database.fill("keys", "row INTEGER PRIMARY KEY, key", numbered)
        self._database.index("keys", "key")

    def __len__(self) -> int:
        return int(next(self._database.select("SELECT count(*) FROM keys"))[0])

    def first(self, key: Any) -> int | None:
        """The first row of ``key``, None where no row has it."""
        found = next(self._database.select("SELECT min(row) FROM keys WHERE key = ?", stored(key)))
        return None if found[0] is None else int(found[0])

    def shared(self, key: Any) -> bool:
        """Whether several rows have ``key``."""
        found = self._database.select("SELECT 1 FROM keys WHERE key = ? LIMIT 2", stored(key))
        return len(list(found)) > 1

    def text(self, row: int) -> str:
        """The key of a row, which is a text."""
        [(key,)] = self._database.select("SELECT key FROM keys WHERE row = ?", row)
        return str(key, errors="surrogatepass")

    def texts(self) -> Iterator[str]:
        """The keys in order, which are texts."""
        for (key,) in self._database.select("SELECT key FROM keys ORDER BY row"):
            yield str(key, errors="surrogatepass")


def stored(key: Any) -> Stored:
    """An id of a JSON as the tables hold it, None for what is no id. A number is its value, so that 1.0 is 1, as the
    models read it; no number equals a text.

    >>> stored(7.0), stored("7"), stored([7])
    (7, b'7', None)
    """
    if isinstance(key, str):
        return key.encode(errors="surrogatepass")
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    if not isinstance(key, int):
        return None
    return int(key) if -(2**63) <= key < 2**63 else hex(key)  # SQLite's integers have 64 bits
