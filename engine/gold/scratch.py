"""Tables in a temporary file, for look-ups of an import that do not fit into memory; among them the keys of rows.

In: rows as they are read. Out: SQL over them, in a few megabytes of memory for any number of rows. The file is unnamed
as soon as it is open: nothing is left of it when the process ends, however it ends. ``TMPDIR`` selects its disk.
Source: SQLite's documentation, "In-Memory Databases", section 2 (temporary databases).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

CACHE_KIB = 16_000
Stored: TypeAlias = int | bytes | str | None
Row: TypeAlias = tuple[Stored, ...]


class Scratch:
    """A private database in a file that is deleted while it is open; closed with this object."""

    def __init__(self) -> None:
        # Any thread may close it, when garbage is collected. No journal: after an error the whole file is dropped.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._connection.execute("PRAGMA journal_mode = OFF")

    def __del__(self) -> None:
        self._connection.close()  # explicitly, since it is in a reference cycle with its cache of statements

    def select(self, statement: str, *values: Stored) -> Iterator[Any]:
        """The rows that ``statement`` selects, with ``values`` bound to its question marks."""
        return self._connection.execute(statement, values)

    def fill(self, table: str, columns: str, rows: Iterable[Row]) -> None:
        """Create ``table`` from ``rows``, taken one by one. Errors of their iterator pass; RuntimeError on a full
        disk."""
        self._execute(f"CREATE TABLE {table} ({columns})")
        places = ", ".join("?" for _ in columns.split(","))
        self._execute("BEGIN")
        self._execute(f"INSERT INTO {table} VALUES ({places})", rows)
        self._execute("COMMIT")

    def index(self, table: str, column: str) -> None:
        """Index ``table`` by ``column``. RuntimeError on a full disk."""
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
    """Finds the first row with a key. A row whose key is None has none."""

    def __init__(self, keys: Iterable[Any]) -> None:
        self._database = Scratch()
        numbered = enumerate(stored(key) for key in keys)
        self._database.fill("keys", "row INTEGER PRIMARY KEY, key", numbered)
        self._database.index("keys", "key")

    def __len__(self) -> int:
        return int(next(self._database.select("SELECT count(*) FROM keys"))[0])

    def first(self, key: Any) -> int | None:
        """The first row with ``key``; None where no row has it."""
        found = next(self._database.select("SELECT min(row) FROM keys WHERE key = ?", stored(key)))
        return None if found[0] is None else int(found[0])

    def shared(self, key: Any) -> bool:
        """Whether several rows have ``key``."""
        found = self._database.select("SELECT 1 FROM keys WHERE key = ? LIMIT 2", stored(key))
        return len(list(found)) > 1

    def text(self, row: int) -> str:
        """The key of a row, which must be a text."""
        [(key,)] = self._database.select("SELECT key FROM keys WHERE row = ?", row)
        return str(key, errors="surrogatepass")

    def texts(self) -> Iterator[str]:
        """The keys in order, which must be texts."""
        for (key,) in self._database.select("SELECT key FROM keys ORDER BY row"):
            yield str(key, errors="surrogatepass")


def stored(key: Any) -> Stored:
    """A JSON id as stored in a table; None for a value that is no id. Equal numbers are equal, so that 1.0 is 1, as in
    the pydantic models; no number equals a text.

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
