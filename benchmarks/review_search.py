"""How long a reviewer waits for a search over many boxes: ``python benchmarks/review_search.py [--millions 1 10]``.

A dataset of each size is generated into a temporary folder (``benchmarks/generated_boxes.py``: tables and manifests, no
pictures) and asked as ``glip-engine serve`` asks it, in one process. Prints the seconds of each question, and the peak
memory of the process so far.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from generated_boxes import write_generated
from own_process import peak_mib

from engine.artifacts import Store
from engine.box_tables import box_database
from engine.review.queries import ReviewIndex, ReviewQuery
from engine.review.verdicts import Verdicts
from engine.shards import committed_units


def questions(index: ReviewIndex) -> dict[str, Callable[[], object]]:
    """What a reviewer asks, from the page's beginning on."""
    phrase = "dog"
    return {
        "first page": lambda: index.find(ReviewQuery()),
        "first page from 0.5": lambda: index.find(ReviewQuery(min_score=0.5)),
        f"pages of {phrase!r}": lambda: index.find(ReviewQuery(phrase=phrase)),
        "nothing like it": lambda: index.find(ReviewQuery(phrase="no such phrase")),
        "lowest scores": lambda: index.find(ReviewQuery(order="lowest")),
        "at random": lambda: index.find(ReviewQuery(order="random")),
        "totals": lambda: index.totals(ReviewQuery(phrase=phrase)),
        "an unknown key": lambda: index.unit_of("no such key"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10])
    options = parser.parse_args()
    for millions in options.millions:
        with tempfile.TemporaryDirectory(prefix="review-search-") as folder, box_database() as (connection, _):
            store = Store(Path(folder) / "boxes")
            write_generated(store, int(millions * 1_000_000))
            units = committed_units(store)
            index = ReviewIndex(connection, store, units, Verdicts())
            print(f"{millions:g} million boxes in {len(units)} units")
            for name, ask in questions(index).items():
                started = time.perf_counter()
                ask()
                seconds = time.perf_counter() - started
                print(f"  {name:<22} {seconds:>7.2f} s   peak {peak_mib():>7,.0f} MiB", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
