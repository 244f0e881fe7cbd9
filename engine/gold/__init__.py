"""Imports human annotations (and drawn truth) as a dataset of the same format as pseudo-labels, with every score 1.

In: annotations in one of the formats of ``READERS``, or the scenes world. Out: a dataset folder: shards, tables,
manifests, ``dataset.json``. Each fault in the source is a counted reject with a reason; the rest is imported.

    coco          task detection: the caption is the image's class names, "cat. dog", each a phrase with its boxes
    lvis          like coco, and for each picture the classes that were looked for and not found
    voc, yolo     task detection: a file for each picture
    coco-phrases  task grounding: a sample for each caption, its annotated phrases with exact spans
    odvg          either task, as the first line says
    mdetr         task grounding: a JSON of captions, boxes with the characters that name them
    flickr30k     task grounding: sentences with marked phrases, boxes in XML
    refcoco       task grounding: an expression and its one box
    grit          task grounding: Kosmos-2's web captions, boxes with scores; origin pseudo
    glip-tsv      task grounding: GLIP's own web captions, boxes with scores; origin pseudo
    scenes        task grounding: drawn scenes with exact boxes

Equal sources give datasets with equal bytes: no time is written anywhere. A committed unit is not done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from engine.artifacts import Store, digest_of
from engine.dataset.committed import committed_manifests, delete_temporary_files, delete_units_beyond
from engine.dataset.shard_files import rejects_name
from engine.gold.detection import CocoDetection
from engine.gold.flickr import FlickrEntities
from engine.gold.glip_tsv import GlipTsvCaptions
from engine.gold.grit import GritCaptions
from engine.gold.lvis import lvis_detection
from engine.gold.mdetr import MdetrCaptions
from engine.gold.odvg import open_odvg
from engine.gold.phrases import CocoPhrases
from engine.gold.refcoco import ReferringExpressions
from engine.gold.scenes import DrawnScenes
from engine.gold.sources import GoldPlace, GoldReader
from engine.gold.voc import VocDetection
from engine.gold.yolo import YoloDetection
from engine.made_by import made_by
from engine.shards import CARD, read_card, write_card, write_shard
from engine.sources.numbered_files import units_of_rows
from engine.storage.parquet_tables import read_parquet
from schemas.recipes import ScenesSource
from schemas.records import Reject, UnitRef
from schemas.reports import StageCounts
from schemas.shards import COUNTS, DatasetCard, ShardManifest

READERS: dict[str, Callable[[GoldPlace], GoldReader]] = {
    "coco": CocoDetection,
    "coco-phrases": CocoPhrases,
    "lvis": lvis_detection,
    "voc": VocDetection,
    "yolo": YoloDetection,
    "odvg": open_odvg,
    "mdetr": MdetrCaptions,
    "flickr30k": FlickrEntities,
    "refcoco": ReferringExpressions,
    "grit": GritCaptions,
    "glip-tsv": GlipTsvCaptions,
}
MACHINE_MADE = frozenset({"grit", "glip-tsv"})  # boxes with scores, of an unknown teacher
FORMATS = (*READERS, "scenes")
UNIT_SIZE = 500


def import_gold(
    format: str,
    source: str | Path | ScenesSource,
    out: str | Path,
    *,
    images: str | Path | None = None,
    split: str | None = None,
    unit_size: int = UNIT_SIZE,
    watch: Callable[[Sequence[UnitRef]], Iterable[UnitRef]] = iter,
) -> DatasetCard:
    """Import ``source`` into the dataset folder ``out``; returns its card.

    source: folder or file of the annotations, or the recipe of the scenes. images: folder of the images, if they are
    not beside the annotations. split: one of the source's splits; None for all. watch: wraps the sequence of units, to
    show progress. ValueError, in one line, where the source cannot be read, no sample or none of its annotations can be
    imported, or ``out`` holds another dataset.
    """
    reader = _open_reader(format, source, images, split)
    recipe: dict[str, object] = {"format": format, "unit_size": unit_size}
    if split is not None:
        recipe["split"] = split
    if isinstance(source, ScenesSource):
        recipe["scenes"] = source.model_dump(mode="json")
    card = DatasetCard(
        origin="pseudo" if format in MACHINE_MADE else "human",
        selection="all" if format in MACHINE_MADE else "glip",
        task=reader.task,
        source_fingerprint=reader.fingerprint,
        recipe_digest=digest_of(recipe),
        recipe=recipe,
        classes=list(reader.classes),
        made_by=made_by("import"),
    )
    store = Store(out)
    with store.locked():
        _claim(store, card)
        stages = [StageCounts(stage=stage, came_in=0, went_on=0) for stage in ("read", "annotation")]
        counted = card.model_copy(update={"complete": True, "stages": stages})
        refs = units_of_rows(reader.uri, len(reader), unit_size)
        for ref, done in zip(watch(refs), committed_manifests(store, refs, partial(_work_digest, card)), strict=True):
            manifest = done or _import_unit(store, reader, ref, card)
            counted = _counted(counted, manifest)
        if refused := _nothing_of(counted, store):
            _withdraw(store)
            raise ValueError(f"{reader.uri}: {refused}")
        write_card(store, counted)
    return counted


def _open_reader(
    format: str, source: str | Path | ScenesSource, images: str | Path | None, split: str | None
) -> GoldReader:
    if format not in FORMATS:
        raise ValueError(f"no gold format {format!r}; there are: {', '.join(FORMATS)}")
    if isinstance(source, ScenesSource) != (format == "scenes"):
        raise ValueError(
            "the format scenes takes the recipe of the scenes, every other one the folder of its annotations"
        )
    if isinstance(source, ScenesSource):
        return DrawnScenes(source)
    if not Path(source).exists():
        raise ValueError(f"{source} does not exist; give the folder or the file of the annotations")
    return READERS[format](GoldPlace(Path(source), Path(images) if images is not None else None, split))


def _claim(store: Store, card: DatasetCard) -> None:
    """Prepare the folder for this dataset: delete what a killed import left. ValueError where it has another one."""
    delete_temporary_files(store)
    if store.exists(CARD):
        found = read_card(store)
        if (found.source_fingerprint, found.recipe_digest) != (card.source_fingerprint, card.recipe_digest):
            raise ValueError(
                f"{store.root} holds another dataset (origin {found.origin}, other source or recipe); "
                "give another folder, or delete this one"
            )
        if found.complete:
            return
    write_card(store, card)


def _work_digest(card: DatasetCard, ref: UnitRef) -> str:
    return digest_of([card.source_fingerprint, card.recipe_digest, ref.first_row, ref.rows])


def _import_unit(store: Store, reader: GoldReader, ref: UnitRef, card: DatasetCard) -> ShardManifest:
    """Write a unit. Annotations that belong to no row are counted with the first one."""
    homeless = reader.homeless() if ref.first_row == 0 else ()
    rows = [reader.read(row, card.recipe_digest) for row in range(ref.first_row, ref.first_row + ref.rows)]
    samples = [row.sample for row in rows if row.sample is not None]
    rejects = [*homeless, *(reject for row in rows for reject in row.rejects)]
    annotations = len(homeless) + sum(row.annotations for row in rows)
    stages = [_counts("read", len(rows), rejects), _counts("annotation", annotations, rejects)]
    return write_shard(store, ref, samples, rejects, work_digest=_work_digest(card, ref), stages=stages)


def _counts(stage: str, came_in: int, rejects: Sequence[Reject]) -> StageCounts:
    """The counts of samples (stage ``read``) or, separately, of boxes (stage ``annotation``)."""
    dropped = Counter(reject.reason for reject in rejects if reject.stage == stage)
    went_on = came_in - dropped.total()
    return StageCounts(stage=stage, came_in=came_in, went_on=went_on, dropped=dict(sorted(dropped.items())))


def _counted(card: DatasetCard, manifest: ShardManifest) -> DatasetCard:
    """The card with the counts of one more unit."""
    sums = {name: getattr(card, name) + getattr(manifest, name) for name in COUNTS}
    stages = [total + counts for total, counts in zip(card.stages, manifest.stages, strict=True)]
    return card.model_copy(update={**sums, "units": card.units + 1, "stages": stages})


def _withdraw(store: Store) -> None:
    """Delete the dataset, so that the folder is free for another try."""
    delete_units_beyond(store, 0)
    store.delete(CARD)


def _nothing_of(card: DatasetCard, store: Store) -> str | None:
    """The reason why this is no dataset: it has no sample, or none of its annotations; None if it is one. Without any
    annotations, all pictures would count as pictures without objects."""
    read, annotation = card.stages
    what, stage = ("samples", read) if card.samples == 0 else ("annotations", annotation)
    if card.samples and (annotation.went_on or not annotation.came_in):
        return None
    reasons = Counter(stage.dropped).most_common(3)
    told = ", ".join(f"{reason} ({count})" for reason, count in reasons) or "the source is empty"
    missing = "; give the folder of the pictures with --images FOLDER" if "image_missing" in stage.dropped else ""
    first = _first_of(reasons[0][0], card, store) if reasons else ""
    return f"none of {stage.came_in} {what} could be imported: {told}{first}{missing}"


def _first_of(reason: str, card: DatasetCard, store: Store) -> str:
    """The message of the first reject with ``reason``."""
    tables = (read_parquet(store.read(rejects_name(unit))) for unit in range(card.units))
    rows = (row for table in tables for row in table.to_pylist())
    return next((f", the first: {row['message']}" for row in rows if row["reason"] == reason), "")
