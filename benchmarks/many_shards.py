"""What a sample costs out of a shard that is not open: with what stands where in it known from before, or looked up.

    python benchmarks/many_shards.py

In training, samples come from all shards in turn, and of a large dataset nearly all shards are closed. Draws scenes
into shards of a labelling job's length and reads samples out of them, each way in turn. Prints medians of processor
milliseconds a sample; beside them that of a shard that is open.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from functools import partial
from statistics import median

from processor_time import processor_seconds

from engine.artifacts import Store
from engine.dataset.shard_reader import LabelledImage, ShardIndex, ShardReader
from engine.gold import import_gold
from schemas.recipes import LabelRecipe, ScenesSource

UNITS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unit-size", type=int, default=LabelRecipe.model_fields["unit_size"].default)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        import_gold("scenes", ScenesSource(count=UNITS * options.unit_size), folder, unit_size=options.unit_size)
        taken = measure(Store(folder), options.rounds)
    for way, milliseconds in taken.items():
        print(f"{way}: {milliseconds:.3f} ms a sample")
    ways = list(taken)
    print(f"ratio {taken[ways[0]] / taken[ways[1]]:.1f}, shards of {options.unit_size} samples")


def measure(store: Store, rounds: int) -> dict[str, float]:
    """Median processor milliseconds to read a sample, by the way it is read."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for row in range(rounds):
        for unit in range(UNITS):
            with ShardReader(store, unit) as reader:
                seconds["looked up"].append(processor_seconds(partial(read, store, unit, row, None)))
                seconds["known"].append(processor_seconds(partial(read, store, unit, row, reader.index)))
                seconds["open"].append(processor_seconds(partial(reader.__getitem__, row)))
    return {way: 1000 * median(found) for way, found in seconds.items()}


def read(store: Store, unit: int, row: int, index: ShardIndex | None) -> LabelledImage:
    """Read a sample from a shard that is opened for it."""
    with ShardReader(store, unit, index) as reader:
        return reader[row]


if __name__ == "__main__":
    main()
