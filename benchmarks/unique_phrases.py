"""Whether unique counts stay exact where memory ends: ``python benchmarks/unique_phrases.py [--millions 10 100]``.

For each size so many unique phrases, a tenth of them twice, are put into the tables of a report and counted as a report
does (as written, in lower case, as lemmas), in a process of its own. Prints seconds, the peak memory of the process,
the largest that its temporary folder was seen, and whether the counts are exactly what was put in.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from own_process import in_own_process, peak_mib

from engine.box_tables import MEMORY_LIMIT, box_database
from engine.statistics.tables import StatisticsTables

ROWS = """
INSERT INTO occurrences
SELECT i, i, 'a ' || md5(phrase::VARCHAR)[1:8] || ' thing number ' || phrase, 'thing', 1, 0.5, true
FROM (SELECT i, i % {unique} AS phrase FROM range({first}, {last}) AS rows(i))
"""
PART = 5_000_000
ROW = "{:>14} {:>14} {:>9} {:>12} {:>14} {:>7}"
COLUMNS = ("occurrences", "unique", "seconds", "peak", "on disk", "exact")


class LargestFolder(threading.Thread):
    """A thread that looks at the size of a folder twice a second, and keeps the largest."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.bytes, self.done = folder, 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.5):
            with suppress(FileNotFoundError):  # DuckDB deletes files meanwhile
                self.bytes = max(self.bytes, sum(path.stat().st_size for path in self.folder.rglob("*")))


def measure(unique: int, memory_limit: str) -> dict[str, float | bool]:
    """Count ``unique`` phrases in this process."""
    total = unique + unique // 10
    started = time.perf_counter()
    with box_database(on_disk=True, memory_limit=memory_limit) as (connection, folder):
        seen = LargestFolder(folder)
        seen.start()
        tables = StatisticsTables(connection)
        for first in range(0, total, PART):
            connection.execute(ROWS.format(unique=unique, first=first, last=min(total, first + PART)))
        tables.count()
        lower = tables.one("SELECT count(*), sum(occurrences), count(*) FILTER (occurrences = 2) FROM phrases")
        written, lemmas = tables.distinct("text", "occurrences"), tables.distinct("lemma", "phrase_lemmas")
        seen.done.set()
    return {
        "occurrences": total,
        "unique": unique,
        "seconds": time.perf_counter() - started,
        "peak_mib": peak_mib(),
        "disk_mib": seen.bytes / 2**20,
        "exact": lower == (unique, total, total - unique) and written == lemmas == unique,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[10, 100])
    parser.add_argument("--memory-limit", default=MEMORY_LIMIT, help="of DuckDB (default %(default)s)")
    options = parser.parse_args()
    print(f"DuckDB's limit {options.memory_limit}")
    print(ROW.format(*COLUMNS), flush=True)
    exact = True
    for millions in options.millions:
        found = in_own_process(measure, int(millions * 1e6), options.memory_limit)
        exact = exact and bool(found["exact"])
        counts = f"{found['occurrences']:,}", f"{found['unique']:,}"
        sizes = f"{found['peak_mib']:,.0f} MiB", f"{found['disk_mib']:,.0f} MiB"
        print(ROW.format(*counts, f"{found['seconds']:.1f}", *sizes, "yes" if found["exact"] else "NO"), flush=True)
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
