"""Which units of a job are committed already, and how a commit is taken back.

In: a store, which may hold 100,000 units, and the digest of each unit's work. Out: the manifests of the units that are
done; or a store without the commits, or the files, of other work. Files are listed by folder with their sizes instead
of being asked for one by one, and manifests of an object store are read many at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from pydantic import ValidationError

from engine.artifacts import Store
from engine.dataset.shard_files import FOLDERS, committed_units, file_sizes, manifest_name, unit_of
from schemas.records import UnitRef
from schemas.shards import ShardManifest


def delete_temporary_files(store: Store) -> None:
    """Delete what killed processes left half-written in a dataset. Only where nobody writes there."""
    for folder in ("", *FOLDERS):
        store.delete_temporary_files(folder)


def committed_manifests(
    store: Store, refs: Sequence[UnitRef], work_digest: Callable[[UnitRef], str]
) -> Iterator[ShardManifest | None]:
    """For each unit, in order, its manifest if the unit is done: of this very work, and with files of the sizes that it
    states. None if there is no manifest, none that can be read, or one of other work."""
    sizes = file_sizes(store)
    contents = store.read_many([name for ref in refs if (name := manifest_name(ref.index)) in sizes])
    for ref in refs:
        yield _done(ref, next(contents), work_digest, sizes) if manifest_name(ref.index) in sizes else None


def _done(
    ref: UnitRef, content: bytes, work_digest: Callable[[UnitRef], str], sizes: dict[str, int]
) -> ShardManifest | None:
    try:
        manifest = ShardManifest.model_validate_json(content)
    except ValidationError:
        return None
    if manifest.work_digest != work_digest(ref):
        return None
    return manifest if all(sizes.get(file.path) == file.size for file in manifest.files) else None


def uncommit(store: Store, units: Collection[int]) -> None:
    """Delete the manifests of ``units``. Their files stay, to be replaced."""
    for unit in sorted(set(committed_units(store)) & set(units)):
        store.delete(manifest_name(unit), lasting=False)
    store.flush("manifests")  # before a file that one of them vouches for is replaced


def delete_units_beyond(store: Store, count: int) -> int:
    """Delete the units from number ``count`` on, each manifest before the files that it vouches for; returns the number
    of deleted files."""
    removed = 0
    for folder in reversed(FOLDERS):
        for name in store.names(folder):
            unit = unit_of(name)
            if unit is not None and unit >= count:
                store.delete(f"{folder}/{name}", lasting=False)
                removed += 1
        store.flush(folder)
    return removed
