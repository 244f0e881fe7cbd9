"""How fast the labelling job writes its shards, against `tarfile` copying the same bytes.

    python benchmarks/shard_writing.py ../shared/data/photos/web

In: a folder of tars as img2dataset writes them, whose pictures are put into tars of a thousand, so that units are as
long as a job's, and labelled here by nano. Out: MB of shards a second, written by
`write_shard` (labels checked and put into JSON, the tar with its digest, the two tables and the manifest beside it, all
of it flushed to the disk) and copied by `tarfile` (opened, its members added to another tar, that flushed too); exit
status 1 where writing is slower than `--at-least` of copying. Beside it, what does not decide: a copy that is left to
the page cache, and the commit with the labels made of the teacher's boxes in it. All take turns on every unit, so that
a machine that slows down shows on each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from component_timing import clocked
from web_tars import repeat_source

from engine.artifacts import Store
from engine.running.stages import OpenedStages, first_unit
from engine.shards import LabelledImage, shard_name, write_shard
from engine.sources import open_source
from pipelines.labelling.bookkeeping import Digests, digests_of
from pipelines.labelling.stages import stages
from pipelines.labelling.unit_commit import labelled_image, stage_counts
from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource
from schemas.records import PseudoLabel, Unit

# Ratios of the seconds of a copy to our own; the median over the rounds is printed.
RATIOS = {
    "ratio": ("copied_and_flushed", "written"),
    "ratio_to_unflushed_copy": ("copied", "written"),
    "ratio_with_labels_made": ("copied_and_flushed", "written_with_labels_made"),
}


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        source = repeat_source(options.source, Path(scratch) / "web", options.images)
        units, digests = labelled_units(
            LabelRecipe(
                source=WebDatasetSource(uri=str(source)),
                teacher=TeacherRecipe(checkpoint=options.checkpoint),
                unit_size=options.unit_size,
                min_score=0.05,
            )
        )
        rounds = [measure(units, digests, Path(scratch) / str(number)) for number in range(options.rounds)]
    middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    ratios = {name: [one[copy] / one[ours] for one in rounds] for name, (copy, ours) in RATIOS.items()}
    figures = {
        "units": len(units),
        "samples": sum(len(unit.records) for unit in units),
        "boxes": sum(len(label.candidates) for unit in units for label in unit.records),
        "megabytes": round(middle["megabytes"], 1),
        "mb_per_s": {name: round(middle["megabytes"] / middle[name], 1) for name in middle if name != "megabytes"},
        "ratios": [round(ratio, 3) for ratio in ratios["ratio"]],
        **{name: round(statistics.median(found), 3) for name, found in ratios.items()},
    }
    print(json.dumps(figures, indent=1))
    return 0 if figures["ratio"] >= options.at_least else 1


def labelled_units(recipe: LabelRecipe) -> tuple[list[Unit[PseudoLabel]], Digests]:
    """The units that the job's stages give to its commit."""
    source = open_source(recipe.source)
    refs = source.units(recipe.unit_size)
    opened = OpenedStages(stages(recipe, source))
    return [opened(first_unit(ref)) for ref in refs], digests_of(recipe, source, refs)


def measure(units: Sequence[Unit[PseudoLabel]], digests: Digests, folder: Path) -> dict[str, float]:
    """Seconds to write the shards of all units, and to copy them; and their megabytes."""
    store, copies = Store(folder / "written"), folder / "copied"
    copies.mkdir(parents=True)
    seconds: dict[str, float] = defaultdict(float)
    with store.locked():
        for unit in units:
            samples, made_s = clocked(partial(labelled_images, unit, digests))
            _, written_s = clocked(partial(write, store, unit, samples, digests))
            shard = folder / "written" / shard_name(unit.ref.index)
            _, flushed_s = clocked(partial(copy_tar, shard, copies / f"flushed-{shard.name}", flushed=True))
            _, copied_s = clocked(partial(copy_tar, shard, copies / shard.name))
            os.sync()  # so that the rest of this copy in the page cache does not slow down another side's flush
            seconds["copied"] += copied_s
            seconds["copied_and_flushed"] += flushed_s
            seconds["written"] += written_s
            seconds["written_with_labels_made"] += made_s + written_s
            seconds["megabytes"] += shard.stat().st_size / 1e6
    return seconds


def labelled_images(unit: Unit[PseudoLabel], digests: Digests) -> list[LabelledImage]:
    return [labelled_image(label, digests) for label in unit.records]


def write(store: Store, unit: Unit[PseudoLabel], samples: Sequence[LabelledImage], digests: Digests) -> None:
    """Write a unit like the job's commit."""
    work, stages = digests.work(unit.ref), stage_counts(unit)
    write_shard(store, unit.ref, samples, unit.rejects, work_digest=work, stages=stages)


def copy_tar(shard: Path, copy: Path, *, flushed: bool = False) -> None:
    with copy.open("wb") as file:
        with tarfile.open(shard) as members, tarfile.open(fileobj=file, mode="w") as tar:
            for member in members:
                tar.addfile(member, members.extractfile(member))
        if flushed:
            file.flush()
            os.fsync(file.fileno())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of tars as img2dataset writes them")
    parser.add_argument("--checkpoint", default="nano")
    parser.add_argument("--unit-size", type=int, default=LabelRecipe.model_fields["unit_size"].default)
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--at-least", type=float, default=0.6, help="exit with 1 below this ratio")
    parser.add_argument("--scratch", default=os.environ.get("TMPDIR"), help="folder for both sides' files")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
