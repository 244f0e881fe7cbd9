"""What is done of a job already: the committed units, found in one pass over a store that may hold 100,000 of them.

In: a store and the digest of each unit's work. Out: the manifests of the units that are done. Files are listed with
their sizes by folder instead of asked for one by one, and manifests are read many at once from an object store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pydantic import ValidationError

from engine.artifacts import Store
from engine.shard_files import FOLDERS, manifest_name
from schemas.records import UnitRef
from schemas.shards import ShardManifest


def committed_manifests(
    store: Store, refs: Sequence[UnitRef], work_digest: Callable[[UnitRef], str]
) -> Iterator[ShardManifest | None]:
    """For each unit, in order, its manifest where it is done: of this very work, with its files there in the size it
    says. Otherwise None: there is no manifest, none that can be read, or one of other work."""
    sizes = {f"{folder}/{name}": size for folder in FOLDERS for name, size in store.sizes(folder).items()}
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
