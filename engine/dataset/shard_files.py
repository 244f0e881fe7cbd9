"""The files of a dataset beside its samples: what they are called, its card, and the manifests that commit its units.

In: a store. Out: names, the card, manifests. What stands in shards and tables is :mod:`engine.shards`.
"""

from __future__ import annotations

import re

from pydantic import ValidationError

from engine.artifacts import Store
from engine.dataset.manifest_summary import ManifestSummary
from schemas.shards import FORMAT, DatasetCard, ShardManifest

CARD = "dataset.json"
FOLDERS = ("shards", "annotations", "rejects", "manifests")
MENDED_BY = "`glip-engine verify` shows what else is wrong, and `label` or `import` redoes that unit"
_UNIT_FILE = re.compile(r"(\d{6,})\.(tar|parquet|json)")
_KEY = re.compile(r"[^./\\\x00-\x1f\ud800-\udfff]{1,200}")


def shard_name(unit: int) -> str:
    return f"shards/{unit:06d}.tar"


def annotations_name(unit: int) -> str:
    return f"annotations/{unit:06d}.parquet"


def rejects_name(unit: int) -> str:
    return f"rejects/{unit:06d}.parquet"


def manifest_name(unit: int) -> str:
    return f"manifests/{unit:06d}.json"


def valid_key(key: str) -> bool:
    """Whether WebDataset keeps the key whole: a dot would split it, a slash or control character leads elsewhere."""
    return _KEY.fullmatch(key) is not None


def key_of_name(name: str) -> str:
    """The key for a picture's name (without extension) or id: dots and slashes, which no key has, become underscores.

    If two names become the same key, the second is a counted reject. The sample's locator keeps the source's own name.

    >>> key_of_name("train/raccoon-1_jpg.rf.1c9d")
    'train_raccoon-1_jpg_rf_1c9d'
    """
    return name.replace("/", "_").replace(".", "_")


def write_card(store: Store, card: DatasetCard) -> None:
    """Write ``dataset.json`` whole, after flushing the names of all files that it counts."""
    for folder in FOLDERS:
        store.flush(folder)
    store.write_document(CARD, card)


def read_card(store: Store) -> DatasetCard:
    """The dataset's card. ValueError where there is none, or where it is of another format."""
    if not store.exists(CARD):
        raise ValueError(
            f"{store.root} is not a dataset: it has no {CARD}. Give the folder that `label` or `import` wrote"
        )
    try:
        return DatasetCard.model_validate_json(store.read(CARD))
    except ValidationError as error:
        raise ValueError(
            f"{store.root}/{CARD} is not of the format {FORMAT}: {error.error_count()} fields are wrong, the first "
            f"{'.'.join(map(str, error.errors()[0]['loc']))!r}: {error.errors()[0]['msg']}"
        ) from None


def read_manifest(store: Store, unit: int) -> ShardManifest | None:
    """The manifest of a unit, or None where the unit is not committed (no manifest, or none that can be read)."""
    try:
        return ShardManifest.model_validate_json(store.read(manifest_name(unit)))
    except (FileNotFoundError, ValidationError):
        return None


def read_manifests(store: Store) -> list[ManifestSummary]:
    """The summaries of the manifests of all committed units, ascending; many at once from an object store.

    ValueError where a manifest cannot be read: a reader of the whole dataset must not leave a unit out unnoticed.
    """
    names = [manifest_name(unit) for unit in committed_units(store)]
    manifests = []
    for name, content in zip(names, store.read_many(names), strict=True):
        try:
            manifests.append(ManifestSummary.of(ShardManifest.model_validate_json(content)))
        except ValidationError:
            raise ValueError(
                f"{store.root}/{name} is damaged, so its samples cannot be counted on; {MENDED_BY}"
            ) from None
    return manifests


def committed_units(store: Store) -> list[int]:
    """Numbers of the units that have a manifest, ascending."""
    return sorted(int(name[:-5]) for name in store.names("manifests") if re.fullmatch(r"\d{6,}\.json", name))


def file_sizes(store: Store) -> dict[str, int]:
    """Sizes in bytes of a dataset's files by their paths, in one listing a folder."""
    return {f"{folder}/{name}": size for folder in FOLDERS for name, size in store.sizes(folder).items()}


def unit_of(path: str) -> int | None:
    """The number of the unit that a file belongs to, by its name; None for any other file.

    >>> unit_of("shards/000012.tar")
    12
    """
    found = _UNIT_FILE.fullmatch(path.rpartition("/")[2])
    return int(found[1]) if found else None
