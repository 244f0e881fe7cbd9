"""Human annotations (and drawn truth) become a dataset of the same format as pseudo-labels, with every score 1.

In: a COCO detection JSON, captions with phrase boxes, or the scenes world. Out: a dataset folder: shards, tables,
manifests, ``dataset.json``. What is wrong in the source is a counted reject with a reason; the rest is imported.

    coco          task detection: the caption is the image's class names, "cat. dog", each a phrase with its boxes
    coco-phrases  task grounding: one sample a caption, its annotated phrases with exact spans
    scenes        task grounding: drawn scenes with exact boxes

Equal sources give equal bytes, whole dataset: no time is written anywhere. A unit that is done is not done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from engine.artifacts import Store, digest_of
from engine.gold_detection import CocoDetection
from engine.gold_phrases import CocoPhrases
from engine.gold_sources import DrawnScenes, GoldReader, GoldRow
from engine.shards import CARD, read_card, read_manifest, write_card, write_shard
from schemas.recipes import ScenesSource
from schemas.records import UnitRef
from schemas.reports import StageCounts
from schemas.shards import DatasetCard, ShardManifest

FORMATS = ("coco", "coco-phrases", "scenes")
UNIT_SIZE = 500


def import_gold(
    format: str,
    source: str | Path | ScenesSource,
    out: str | Path,
    *,
    unit_size: int = UNIT_SIZE,
    on_unit: Callable[[ShardManifest], None] | None = None,
) -> DatasetCard:
    """Import ``source`` into the dataset folder ``out``; returns its card.

    ``source`` is the folder of the annotations (for ``coco`` also the JSON file), or the recipe of the scenes.
    ``on_unit`` hears of each unit. ValueError, in one line, where the source cannot be read, gives no sample at all, or
    where ``out`` holds another dataset.
    """
    reader = _open_reader(format, source)
    recipe: dict[str, object] = {"format": format, "unit_size": unit_size}
    if isinstance(source, ScenesSource):
        recipe["scenes"] = source.model_dump(mode="json")
    card = DatasetCard(
        origin="human",
        task=reader.task,
        source_fingerprint=reader.fingerprint(),
        recipe_digest=digest_of(recipe),
        recipe=recipe,
        classes=list(reader.classes),
    )
    store = Store(out)
    with store.locked():
        _claim(store, card)
        manifests = []
        for ref in _units(reader, unit_size):
            manifests.append(_import_unit(store, reader, ref, card))
            if on_unit is not None:
                on_unit(manifests[-1])
        card = _completed(card, manifests)
        if card.samples == 0:
            raise ValueError(f"{reader.uri}: none of {len(reader)} samples could be imported: {_first_reason(card)}")
        write_card(store, card)
    return card


def _open_reader(format: str, source: str | Path | ScenesSource) -> GoldReader:
    if format not in FORMATS:
        raise ValueError(f"no gold format {format!r}; there are: {', '.join(FORMATS)}")
    if isinstance(source, ScenesSource) != (format == "scenes"):
        raise ValueError(
            "the format scenes takes the recipe of the scenes, every other one the folder of its annotations"
        )
    if isinstance(source, ScenesSource):
        return DrawnScenes(source)
    return CocoDetection(Path(source)) if format == "coco" else CocoPhrases(Path(source))


def _claim(store: Store, card: DatasetCard) -> None:
    """Take the folder for this dataset; ValueError where it holds another one."""
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


def _units(reader: GoldReader, unit_size: int) -> list[UnitRef]:
    starts = range(0, len(reader), unit_size)
    return [UnitRef(n, reader.uri, row, min(unit_size, len(reader) - row)) for n, row in enumerate(starts)]


def _import_unit(store: Store, reader: GoldReader, ref: UnitRef, card: DatasetCard) -> ShardManifest:
    work_digest = digest_of([card.source_fingerprint, card.recipe_digest, ref.first_row, ref.rows])
    done = read_manifest(store, ref.index)
    if done is not None and done.work_digest == work_digest:
        return done
    rows = [reader.read(row, card.recipe_digest) for row in range(ref.first_row, ref.first_row + ref.rows)]
    samples = [row.sample for row in rows if row.sample is not None]
    rejects = [reject for row in rows for reject in row.rejects]
    return write_shard(store, ref, samples, rejects, work_digest=work_digest, stages=_count(rows))


def _count(rows: Iterable[GoldRow]) -> list[StageCounts]:
    """What became of the samples (stage ``read``) and, counted by themselves, of the boxes (stage ``annotation``)."""
    came_in, went_on = Counter[str](), Counter[str]()
    dropped: dict[str, Counter[str]] = {"read": Counter(), "annotation": Counter()}
    for row in rows:
        came_in.update({"read": 1, "annotation": row.annotations})
        for reject in row.rejects:
            dropped[reject.stage][reject.reason] += 1
    for stage in dropped:
        went_on[stage] = came_in[stage] - dropped[stage].total()
    return [
        StageCounts(
            stage=name, came_in=came_in[name], went_on=went_on[name], dropped=dict(sorted(dropped[name].items()))
        )
        for name in dropped
    ]


def _completed(card: DatasetCard, manifests: list[ShardManifest]) -> DatasetCard:
    totals = [StageCounts(stage=stage, came_in=0, went_on=0) for stage in ("read", "annotation")]
    for manifest in manifests:
        totals = [total + counts for total, counts in zip(totals, manifest.stages, strict=True)]
    return card.model_copy(
        update={
            "complete": True,
            "units": len(manifests),
            "samples": sum(manifest.samples for manifest in manifests),
            "phrases": sum(manifest.phrases for manifest in manifests),
            "boxes": sum(manifest.boxes for manifest in manifests),
            "rejects": sum(manifest.rejects for manifest in manifests),
            "stages": totals,
        }
    )


def _first_reason(card: DatasetCard) -> str:
    reasons = Counter(card.stages[0].dropped).most_common(3)
    return ", ".join(f"{reason} ({count})" for reason, count in reasons) or "the source is empty"
