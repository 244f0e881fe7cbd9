"""How long a reviewer waits for a search over many boxes: ``python benchmarks/review_search.py [--millions 1 10]``.

A dataset of each size is generated into a temporary folder (``benchmarks/generated_boxes.py``: tables and manifests, no
pictures) and asked as ``glip-engine serve`` asks it, in a process of its own. Prints of each question the seconds, how
many samples it found, and the peak memory of that process so far.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generated_boxes import write_generated
from own_process import in_own_process, peak_mib

from engine.artifacts import Store
from engine.box_tables import box_database
from engine.review.queries import ReviewIndex, ReviewQuery
from engine.review.verdicts import Verdicts
from engine.shards import committed_units


def questions(index: ReviewIndex) -> dict[str, Callable[[], int]]:
    """The searches of a reviewer, in the order of a session; each returns the number of samples that it found."""

    def page(**looked_for: Any) -> Callable[[], int]:
        return lambda: len(index.find(ReviewQuery(**looked_for)).samples)

    phrase = "dog"  # part of some generated words
    return {
        "first page": page(),
        "first page from 0.5": page(min_score=0.5),
        f"pages of {phrase!r}": page(phrase=phrase),
        "nothing like it": page(phrase="no such phrase"),
        "lowest scores": page(order="lowest"),
        "at random": page(order="random"),
        "totals": lambda: index.totals(ReviewQuery(phrase=phrase)).samples,
        "an unknown key": lambda: int(index.unit_of("no such key") is not None),
    }


def measure(dataset: str) -> None:
    """Run each search once, in this process, and print its figures."""
    store = Store(dataset)
    with box_database() as (connection, _):
        index = ReviewIndex(connection, store, committed_units(store), Verdicts())
        for name, ask in questions(index).items():
            started = time.perf_counter()
            found = ask()
            seconds = time.perf_counter() - started
            print(f"  {name:<22} {seconds:>7.2f} s   {found:>9,} found   peak {peak_mib():>7,.0f} MiB", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10])
    for millions in parser.parse_args().millions:
        with tempfile.TemporaryDirectory(prefix="review-search-") as folder:
            store = Store(Path(folder) / "boxes")
            write_generated(store, int(millions * 1_000_000))
            print(f"{millions:g} million boxes in {len(committed_units(store))} units", flush=True)
            in_own_process(measure, store.root)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
