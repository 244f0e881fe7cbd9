"""How long a labelling job plans 100,000 units (20 million rows) of each kind of source that is sliced without reading.

    python benchmarks/source_planning.py --units 100000

Makes the sources in a temporary folder (about 3 GB of disk): tars that are counted by `_stats.json` beside them, a TSV
of urls, Parquet files of urls. Times opening, slicing and fingerprint together, as a job does before its first unit.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from web_tars import counted_tars

from engine.sources import open_source
from schemas.recipes import Source, UrlsSource

UNIT_SIZE = 200
LINE = "an angler fishes river on a snowy day .\thttp://www.example.net/image/2015/02/04/800x/fishing-%09d.jpg\n"


def make_tsv(folder: Path, rows: int) -> UrlsSource:
    with (folder / "list.tsv").open("w") as file:
        for start in range(0, rows, 100_000):
            file.write("".join(LINE % number for number in range(start, min(start + 100_000, rows))))
    return UrlsSource(uri=str(folder / "list.tsv"))


def make_parquet(folder: Path, rows: int) -> UrlsSource:
    """Files of a million rows in groups of 100,000."""
    group = pa.table({"URL": [f"http://a.net/{n}" for n in range(100_000)], "TEXT": ["a dog on grass"] * 100_000})
    for number in range(-(-rows // 1_000_000)):
        with pq.ParquetWriter(folder / f"{number:05d}.parquet", group.schema) as writer:
            for first in range(number * 1_000_000, min(rows, (number + 1) * 1_000_000), 100_000):
                writer.write_table(group.slice(length=min(100_000, rows - first)))
    return UrlsSource(uri=str(folder))


MAKERS: dict[str, Callable[[Path, int], Source]] = {"tars": counted_tars, "tsv": make_tsv, "parquet": make_parquet}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=100_000)
    options = parser.parse_args()
    for kind, make in MAKERS.items():
        with tempfile.TemporaryDirectory() as folder:
            recipe = make(Path(folder), options.units * UNIT_SIZE)
            started = time.perf_counter()
            source = open_source(recipe)
            refs, _ = source.units(UNIT_SIZE), source.fingerprint()
            print(f"{kind}: {len(refs)} units of {UNIT_SIZE} rows planned in {time.perf_counter() - started:.2f} s")


if __name__ == "__main__":
    main()
