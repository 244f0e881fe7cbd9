"""Is a dataset whole? No gap, no duplicate key, sums that add up, checksums, spans, tables that say what the tar says.

In: the folder of a dataset, human or pseudo. Out: a report with one line per problem, none where it is clean. Every
byte is read once or twice; nothing is written.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from engine.artifacts import Store
from engine.dataset.manifest_summary import ManifestSummary
from engine.dataset.repeated_keys import KeyLog
from engine.duplicates import DUPLICATES, read_duplicates
from engine.review.verdicts import verdict_problems
from engine.shards import (
    LabelledImage,
    ShardReader,
    annotation_table,
    annotations_name,
    committed_units,
    read_card,
    read_manifest,
    read_shard,
    rejects_name,
    shard_name,
)
from engine.storage.parquet_tables import read_parquet
from pipelines.console.number_formats import counted
from pipelines.console.progress import tracked
from pipelines.console.terminal import visible
from schemas.reports import Document
from schemas.shards import COUNTS, DatasetCard, SampleLabels, ShardManifest


class VerifyReport(Document):
    """What was looked at, and what is wrong with it: one line each."""

    dataset: str
    units: int
    samples: int
    rejects: int
    problems: list[str]


def verify(dataset: str | Path, *, progress: bool = True) -> VerifyReport:
    """Look at everything; ValueError where ``dataset`` is no dataset at all."""
    store = Store(dataset)
    card = read_card(store)
    numbers = committed_units(store)
    problems: list[str] = []
    manifests: list[ManifestSummary] = []
    dropped = Counter[str]()
    keys = KeyLog()
    for number in tracked(numbers, "verifying", shown=progress):
        manifest = read_manifest(store, number)
        if manifest is None or manifest.unit != number:
            problems.append(f"manifests/{number:06d}.json is not a whole manifest of unit {number}")
            continue
        manifests.append(ManifestSummary.of(manifest))
        for stage in manifest.stages:
            dropped[stage.stage] += sum(stage.dropped.values())
        problems += _unit_problems(store, manifest, keys)
    problems += list(_repeated_keys(store, keys))
    problems += _gaps(card, numbers, manifests) + _sums(card, manifests, dropped) + list(_strays(store, set(numbers)))
    problems += _broken_duplicates(store, manifests) + verdict_problems(store)
    report = VerifyReport(
        dataset=store.root,
        units=len(numbers),
        samples=sum(manifest.samples for manifest in manifests),
        rejects=sum(manifest.rejects for manifest in manifests),
        problems=problems,
    )
    if progress:
        _print(report)
    return report


def _print(report: VerifyReport) -> None:
    for problem in report.problems:
        print(visible(problem))
    verdict = counted(len(report.problems), "problem") if report.problems else "clean"
    found = [counted(report.units, "unit"), counted(report.samples, "sample"), counted(report.rejects, "reject")]
    print(f"{report.dataset}: {', '.join(found)}: {verdict}")


# --------------------------------------------------------------------------------------------------------- the whole


def _gaps(card: DatasetCard, numbers: list[int], manifests: list[ManifestSummary]) -> list[str]:
    problems = []
    if not card.complete:
        planned = card.planned_units
        left = "" if planned is None else f": {planned - len(numbers)} of {planned} units are missing"
        problems.append(f"dataset.json: the job has not finished{left}; run the same command again")
    expected = range(card.units if card.complete else card.planned_units or max(numbers, default=-1) + 1)
    missing = sorted(set(expected) - set(numbers)) if card.complete else []
    extra = sorted(set(numbers) - set(expected))
    problems += [f"unit {number} is missing: it has no manifest" for number in missing]
    problems += [f"unit {number} is not of this job, which has {len(expected)} units" for number in extra]
    for before, after in itertools.pairwise(manifests):
        end = before.first_row + before.rows if after.source_uri == before.source_uri else 0
        if after.unit == before.unit + 1 and after.first_row != end:
            problems.append(
                f"unit {after.unit} begins at row {after.first_row} of {after.source_uri}, not at {end}: rows are "
                "lost or twice there"
            )
    return problems


def _sums(card: DatasetCard, manifests: list[ManifestSummary], dropped: Counter[str]) -> list[str]:
    if not card.complete:
        return []
    totals = {name: sum(getattr(manifest, name) for manifest in manifests) for name in COUNTS}
    problems = [
        f"dataset.json: {name} is {getattr(card, name)}, the manifests add up to {total}"
        for name, total in totals.items()
        if getattr(card, name) != total
    ]
    return problems + [
        f"dataset.json: stage {stage.stage} drops {sum(stage.dropped.values())}, the manifests {dropped[stage.stage]}"
        for stage in card.stages
        if sum(stage.dropped.values()) != dropped[stage.stage]
    ]


def _strays(store: Store, committed: set[int]) -> Iterator[str]:
    for folder, name_of in (("shards", shard_name), ("annotations", annotations_name), ("rejects", rejects_name)):
        expected = {Path(name_of(number)).name for number in committed}
        for name in sorted(set(store.names(folder)) - expected):
            yield f"{folder}/{name} belongs to no committed unit; run the same command again"


def _broken_duplicates(store: Store, manifests: list[ManifestSummary]) -> list[str]:
    """What is wrong with the table of duplicates; nothing where there is none."""
    try:
        left_out = read_duplicates(store, manifests).rows
    except ValueError as error:
        return [str(error)]
    samples = {manifest.unit: manifest.samples for manifest in manifests}
    return [
        f"{DUPLICATES} leaves out rows of unit {unit} that it does not have; run `dedupe` again"
        for unit, rows in left_out.items()
        if not 0 <= min(rows) <= max(rows) < samples.get(unit, 0)
    ]


def _repeated_keys(store: Store, keys: KeyLog) -> Iterator[str]:
    for unit, repeated in itertools.groupby(keys.repeats(), key=lambda one: one.unit):
        with ShardReader(store, unit) as reader:
            for one in repeated:
                key = reader.labels(one.row).key
                yield f"unit {unit}: key {key} is also in unit {one.first_unit}; keys are unique in a dataset"


# ------------------------------------------------------------------------------------------------------------ a unit


def _unit_problems(store: Store, manifest: ShardManifest, keys: KeyLog) -> list[str]:
    unit = f"unit {manifest.unit}"
    damaged = list(_damaged_files(store, manifest))
    if damaged:
        return [f"{unit}: {problem}" for problem in damaged]
    problems = list(_broken_counts(manifest))
    try:
        samples = read_shard(store, manifest.unit)
        problems += _sample_problems(store, manifest, samples, keys)
        problems += _reject_problems(store, manifest)
    except (ValueError, OSError, pa.ArrowException) as error:  # what a broken tar or table makes its reader say
        problems.append(" ".join(str(error).split()))
    return [f"{unit}: {problem}" for problem in problems]


def _damaged_files(store: Store, manifest: ShardManifest) -> Iterator[str]:
    number = manifest.unit
    expected = [shard_name(number), annotations_name(number), rejects_name(number)]
    if [file.path for file in manifest.files] != expected:
        yield f"its manifest lists {[file.path for file in manifest.files]}, not {expected}"
        return
    for file in manifest.files:
        if not store.exists(file.path):
            yield f"{file.path} is missing"
        elif store.digest(file.path) != (file.sha256, file.size):
            yield f"{file.path} is not what was committed: its checksum differs"


def _broken_counts(manifest: ShardManifest) -> Iterator[str]:
    """Samples pass the stages of a labelling job one after another; an import counts samples in its first stage, and
    boxes in its stage ``annotation``."""
    stages = [one for one in manifest.stages if one.stage != "annotation"]
    came = manifest.rows
    for stage in stages:
        if stage.came_in != came:
            yield f"{stage.came_in} came into stage {stage.stage}, but {came} were to come"
        came = stage.went_on
    if came != manifest.samples:
        yield f"{came} samples passed all stages, but the shard has {manifest.samples}"


def _sample_problems(
    store: Store, manifest: ShardManifest, samples: Iterator[LabelledImage], keys: KeyLog
) -> Iterator[str]:
    told: list[SampleLabels] = []
    for sample in samples:
        labels = sample.labels
        told.append(labels)
        if hashlib.sha256(sample.image).hexdigest() != labels.image_sha256:
            yield f"sample {labels.key}: the picture is not the one that was labelled (image_sha256)"
    keys.add(manifest.unit, (labels.key for labels in told))
    boxes = annotation_table(told)
    phrases = sum(len(labels.phrases) for labels in told)
    found = {"samples": len(told), "phrases": phrases, "boxes": boxes.num_rows}
    for name, count in found.items():
        if count != getattr(manifest, name):
            yield f"the tar holds {count} {name}, its manifest says {getattr(manifest, name)}"
    if told and (told[0].key, told[-1].key) != (manifest.first_key, manifest.last_key):
        yield f"the tar's keys run from {told[0].key} to {told[-1].key}, its manifest has other ones"
    if _table(store, annotations_name(manifest.unit)) != boxes:
        yield f"{annotations_name(manifest.unit)} does not say what the tar says"


def _reject_problems(store: Store, manifest: ShardManifest) -> Iterator[str]:
    rejects = _table(store, rejects_name(manifest.unit)).to_pylist()
    found = Counter((row["stage"], row["reason"]) for row in rejects)
    told = Counter({(stage.stage, why): count for stage in manifest.stages for why, count in stage.dropped.items()})
    if len(rejects) != manifest.rejects:
        yield f"{rejects_name(manifest.unit)} has {len(rejects)} rows, its manifest says {manifest.rejects}"
    for stage, reason in sorted((found - told) + (told - found)):
        yield (
            f"stage {stage} dropped {told[stage, reason]} as {reason}, but {rejects_name(manifest.unit)} has "
            f"{found[stage, reason]}"
        )


def _table(store: Store, name: str) -> pa.Table:
    return read_parquet(store.read(name, max_bytes=1 << 31))
