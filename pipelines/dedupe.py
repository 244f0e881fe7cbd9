"""Duplicates of a labelled dataset, found over all its units: readers leave them out from then on.

In: a pseudo-labelled dataset. Out: ``duplicates.parquet`` beside its card (see ``engine.duplicates``); the shards stay
as they are. Training, statistics and the report read the dataset without them; deleting the file brings them back.
"""

from __future__ import annotations

from pathlib import Path

from engine.artifacts import Store
from engine.dataset.manifest_summary import ManifestSummary
from engine.duplicates import (
    EXACT,
    NEAR,
    DuplicateOf,
    Identities,
    duplicate_table,
    find_duplicates,
    read_duplicates,
    write_duplicates,
)
from engine.filtering.image_identity import ImageIdentity, image_identities
from engine.filtering.near_duplicates import MAX_DISTANCE
from engine.shards import read_card, read_manifests
from pipelines.console.number_formats import counted
from pipelines.console.progress import tracked
from schemas.recipes import DEFAULT_DISTANCE
from schemas.reports import Document


class DedupeResult(Document):
    """How many samples stay, how many are left out, and why. For those ``without_hash`` (blank pictures), only copies
    of the same file are found."""

    dataset: str
    by: DuplicateOf
    max_distance: int
    samples: int
    kept: int
    duplicates: dict[str, int]
    without_hash: int


def dedupe(
    dataset: str | Path, *, by: DuplicateOf = "image", max_distance: int = DEFAULT_DISTANCE, progress: bool = True
) -> DedupeResult:
    """Find the duplicates of a pseudo-labelled dataset and write the table by which readers leave them out.

    ``by="pair"`` takes samples for duplicates only where the caption is the same too, which a source with several
    captions a picture wants. ValueError where there is no dataset, a human one (its samples share pictures on purpose),
    or a distance out of range. Equal datasets give equal bytes.
    """
    store = Store(dataset)
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"a distance of {max_distance} bits; wanted 0 to {MAX_DISTANCE} (--distance)")
    if read_card(store).origin == "human":
        raise ValueError(f"{store.root} is human data, whose samples share pictures on purpose; dedupe is for labels")
    with store.locked():
        manifests = read_manifests(store)
        samples, keys = _gather(store, manifests, progress)
        found = find_duplicates(samples, by=by, max_distance=max_distance)
        table = duplicate_table(found, keys, manifests)
        write_duplicates(store, table, manifests, by=by, max_distance=max_distance)
        counts = read_duplicates(store, manifests).counts
    result = DedupeResult(
        dataset=store.root,
        by=by,
        max_distance=max_distance,
        samples=len(keys),
        kept=len(keys) - table.num_rows,
        duplicates={reason: counts.get(reason, 0) for reason in (EXACT, NEAR)},
        without_hash=int((~samples.hashed).sum()),
    )
    if progress:
        _print(result)
    return result


def _gather(store: Store, manifests: list[ManifestSummary], progress: bool) -> tuple[Identities, list[str]]:
    """The identities of all samples and their keys; besides them, at most one unit's rows are in memory."""
    keys: list[str] = []

    def with_keys(image: ImageIdentity) -> ImageIdentity:
        keys.append(image.key)
        return image

    units = tracked(image_identities(store, manifests), "reading hashes", shown=progress, total=len(manifests))
    return Identities.of(with_keys(image) for unit in units for image in unit), keys


def _print(result: DedupeResult) -> None:
    exact, near = result.duplicates[EXACT], result.duplicates[NEAR]
    found = f"{counted(result.samples, 'sample')}, {exact:,} exact and {near:,} near duplicates left out"
    unhashed = (
        f"; of {counted(result.without_hash, 'blank one')} only the same file is found" if result.without_hash else ""
    )
    print(f"{result.dataset}: {found}, {result.kept:,} stay{unhashed}")
