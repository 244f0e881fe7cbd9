"""The books of a labelling job: whether a folder may be gone on with, and what came out.

In: the recipe and digests of a job, the manifests of its units. Out: ``dataset.json``, first without counts, at the end
with them, and the result that a person or a program reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from engine.artifacts import Store, digest_of
from engine.shards import CARD, read_card, write_card
from schemas.recipes import LabelRecipe
from schemas.records import UnitRef
from schemas.reports import Document, StageCounts
from schemas.shards import FORMAT, DatasetCard, ShardManifest

# Where things lie and what readers do with them: these change no byte of a shard. The content of a source and of a
# checkpoint is in their digests.
NOT_IN_DIGEST = (
    *("source.uri", "source.images"),
    *("source.concurrency", "source.concurrency_per_host", "source.timeout_s", "source.retries"),
    *("teacher.checkpoint", "teacher.checkpoint_sha256", "selection"),
)
FOLDERS = ("", "shards", "annotations", "rejects", "manifests")


@dataclass(frozen=True, slots=True)
class Digests:
    """What decides the content of every shard of a job: its source's, its recipe's and its teacher's digest."""

    source: str
    recipe: str
    teacher: str

    def work(self, ref: UnitRef) -> str:
        """The digest of all that decides the shard of one unit."""
        rows = [ref.index, ref.uri, ref.first_row, ref.rows]
        return digest_of([FORMAT, self.source, self.recipe, self.teacher, rows])


class LabelResult(Document):
    """What a labelling job did. ``seconds``, ``images_per_second`` and ``utilisation`` are of this run and its new
    units alone; the last is the share of the workers' time, from their first unit on, in which the model computed."""

    dataset: str
    units: int
    new_units: int
    images: int
    samples: int
    phrases: int
    boxes: int
    rejects: dict[str, int]
    stages: list[StageCounts]
    seconds: float
    images_per_second: float | None
    utilisation: float | None


def recipe_digest(recipe: LabelRecipe) -> str:
    """Digest of every field that decides the bytes of the shards."""
    return digest_of({name: value for name, value in _fields(recipe.model_dump(mode="json")) if _counts(name)})


def open_dataset(store: Store, recipe: LabelRecipe, digests: Digests) -> DatasetCard:
    """The card of a new dataset, written; or, of the same work, the one that is there. ValueError says what differs."""
    for folder in FOLDERS:
        store.delete_temporary_files(folder)
    fresh = DatasetCard(
        origin="pseudo",
        task="grounding",
        source_fingerprint=digests.source,
        recipe_digest=digests.recipe,
        recipe=recipe.model_dump(mode="json"),
        teacher_digest=digests.teacher,
        parents=[digests.source, digests.teacher],
        selection=recipe.selection,
    )
    if store.exists(CARD):
        found = read_card(store)
        difference = _difference(found, fresh)
        if difference:
            raise ValueError(
                f"{store.root} holds other work: {difference}. Give another --out, or the recipe it was begun with"
            )
        return found.model_copy(update={"recipe": fresh.recipe, "selection": fresh.selection})
    if store.names(""):
        raise ValueError(f"{store.root} is not empty and no dataset; give an empty or a new folder as --out")
    write_card(store, fresh)
    return fresh


def finish_dataset(
    store: Store, card: DatasetCard, before: Sequence[ShardManifest], new: Sequence[ShardManifest], *, seconds: float
) -> LabelResult:
    """Write the card with its counts, unless that is what it says already. ``new`` are the units of this run."""
    manifests = sorted([*before, *new], key=lambda manifest: manifest.unit)
    stages = add_stages(manifests)
    counted = card.model_copy(
        update={
            "complete": True,
            "units": len(manifests),
            **{
                name: sum(getattr(one, name) for one in manifests)
                for name in ("samples", "phrases", "boxes", "rejects")
            },
            # The times are in the manifests: the card of an interrupted job equals that of an undisturbed one.
            "stages": [stage.without_times() for stage in stages],
        }
    )
    if counted != read_card(store):
        write_card(store, counted)
    return LabelResult(
        dataset=store.root,
        units=counted.units,
        new_units=len(new),
        images=sum(one.rows for one in manifests),
        samples=counted.samples,
        phrases=counted.phrases,
        boxes=counted.boxes,
        rejects={reason: count for stage in stages for reason, count in stage.dropped.items()},
        stages=stages,
        seconds=round(seconds, 1),
        images_per_second=round(sum(one.rows for one in new) / seconds, 2) if new else None,
        utilisation=_utilisation(new),
    )


def _utilisation(manifests: Sequence[ShardManifest]) -> float | None:
    stages = [stage for manifest in manifests for stage in manifest.stages]
    elapsed = sum(stage.elapsed_seconds for stage in stages)
    return round(sum(stage.computing_seconds for stage in stages) / elapsed, 3) if elapsed else None


def add_stages(manifests: Sequence[ShardManifest]) -> list[StageCounts]:
    """The stage counts of a job: those of its units, added up, in the order of the flow."""
    names = list(dict.fromkeys(stage.stage for manifest in manifests for stage in manifest.stages))
    stages = [stage for manifest in manifests for stage in manifest.stages]
    return [reduce(add, (stage for stage in stages if stage.stage == name)) for name in names]


def _difference(found: DatasetCard, fresh: DatasetCard) -> str:
    """What differs between the work a folder holds and the work that is to be done, in words; empty if nothing."""
    if found.origin != fresh.origin:
        return f"it is a dataset of {found.origin} labels"
    before, now = dict(_fields(found.recipe)), dict(_fields(fresh.recipe))
    parts = [
        f"{name} was {before.get(name)!r}, is now {now.get(name)!r}"
        for name in sorted(before.keys() | now.keys())
        if _counts(name) and before.get(name) != now.get(name)
    ]
    if found.teacher_digest != fresh.teacher_digest:
        parts.append(f"the teacher was {str(found.teacher_digest)[:12]}, is now {str(fresh.teacher_digest)[:12]}")
    if found.source_fingerprint != fresh.source_fingerprint:
        parts.append("the content of the source is not what it was")
    if not parts and found.recipe_digest != fresh.recipe_digest:
        parts.append("the recipe differs")
    return "; ".join(parts)


def _fields(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a recipe as (``teacher.batch_size``, 8)."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _counts(name: str) -> bool:
    return name not in NOT_IN_DIGEST
