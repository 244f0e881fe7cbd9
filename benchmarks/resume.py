"""How long a labelling job that is done looks before it says so: planning, and finding 100,000 units committed.

    python benchmarks/resume.py --units 100000

Makes, in a temporary folder, a source of tars counted by their `_stats.json`, and the dataset that labelling it whole
would leave: manifests in full, files that have the size that these tell (hard links to a few, since nothing but their
size is asked for). Then calls `label`, twice, and tells what a manifest takes in memory: whole, and as a mix, an export
or a report holds it. Exits with 1 where planning or the rest takes more than --at-most.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from own_process import peak_mib
from web_tars import counted_tars

from engine.artifacts import Store
from engine.shards import (
    annotations_name,
    committed_units,
    manifest_name,
    read_manifest,
    read_manifests,
    rejects_name,
    shard_name,
    write_shard,
)
from engine.sources import open_source
from engine.storage.digests import document_bytes
from pipelines.label import label
from pipelines.labelling.bookkeeping import digests_of, open_dataset
from schemas.recipes import LabelRecipe
from schemas.records import UnitRef
from schemas.reports import StageCounts
from schemas.shards import ShardManifest

LINKS = 30_000  # to one file: file systems allow 65,000
STAGES = ("read", "phrases", "identify", "prompt", "ground", "select")


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        source, out = Path(folder) / "tars", Path(folder) / "out"
        source.mkdir()
        tars = counted_tars(source, options.units * options.unit_size)
        recipe = LabelRecipe(source=tars, unit_size=options.unit_size)
        make_dataset(recipe, out)
        started = time.monotonic()
        refs = open_source(recipe.source).units(recipe.unit_size)
        planned = time.monotonic() - started
        runs = []
        for _ in range(2):
            started = time.monotonic()
            result = label(recipe, out, progress=False)
            runs.append(round(time.monotonic() - started, 2))
        peak = peak_mib()  # of the jobs alone
        assert (result.units, result.new_units, result.units_left) == (len(refs), 0, 0)
        bytes_whole, bytes_held = bytes_a_manifest(Store(out))
    figures = {
        "units": len(refs),
        "images": result.images,
        "seconds_to_plan": round(planned, 2),
        "seconds_to_resume": runs,
        "peak_mib": round(peak),
        "bytes_a_manifest": {"whole": bytes_whole, "as_held": bytes_held},
    }
    print(json.dumps(figures, indent=1))
    return 0 if max(planned, *runs) <= options.at_most else 1


def bytes_a_manifest(store: Store) -> tuple[int, int]:
    """The mean bytes of a manifest's Python objects: of the first thousand whole ones, and of all as summaries."""
    some = committed_units(store)[:1000]
    return _bytes_each(lambda: [read_manifest(store, unit) for unit in some]), _bytes_each(
        lambda: read_manifests(store)
    )


def _bytes_each(read: Callable[[], Sequence[object]]) -> int:
    tracemalloc.start()
    held = read()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return round(size / len(held))


def make_dataset(recipe: LabelRecipe, out: Path) -> None:
    """Make the folder of a job that has committed all units."""
    source, store = open_source(recipe.source), Store(out)
    refs = source.units(recipe.unit_size)
    digests = digests_of(recipe, source, refs)
    open_dataset(store, recipe, digests, units=len(refs))
    for ref in refs:
        if ref.index % LINKS == 0:
            manifest = write_shard(store, ref, [], [], work_digest=digests.work(ref), stages=stages(ref))
        else:
            link_unit(store, ref, manifest, digests.work(ref))


def link_unit(store: Store, ref: UnitRef, manifest: ShardManifest, work_digest: str) -> None:
    """Make a unit like that of ``manifest``: links to its files, and a manifest of its own."""
    files = []
    for made, name in zip(manifest.files, _names(ref), strict=True):
        os.link(store.path(made.path), store.path(name))
        files.append(made.model_copy(update={"path": name}))
    own = {"unit": ref.index, "source_uri": ref.uri, "first_row": ref.first_row, "rows": ref.rows}
    fields = {**own, "work_digest": work_digest, "stages": stages(ref), "files": files}
    Path(store.path(manifest_name(ref.index))).write_bytes(document_bytes(manifest.model_copy(update=fields)))


def stages(ref: UnitRef) -> list[StageCounts]:
    """The counts of a unit whose rows were all dropped by a stage; as long as those of any other unit."""
    counted = partial(StageCounts, came_in=ref.rows, seconds=1.234, computing_seconds=1.2, elapsed_seconds=1.3)
    went_on = [counted(stage=name, went_on=ref.rows) for name in STAGES[:-1]]
    return [*went_on, counted(stage=STAGES[-1], went_on=0, dropped={"no_candidate": ref.rows})]


def _names(ref: UnitRef) -> list[str]:
    return [shard_name(ref.index), annotations_name(ref.index), rejects_name(ref.index)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--unit-size", type=int, default=200)
    parser.add_argument("--at-most", type=float, default=10.0, help="seconds")
    parser.add_argument("--scratch", help="folder for the source and the dataset, about 500 MB of small files")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
