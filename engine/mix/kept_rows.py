"""The samples that a selection leaves in pseudo-labelled shards, from their annotation tables, without opening a shard.

In: the units of a dataset, and its view. Out: for each unit the rows of its shard that keep a box, with counts and
names; or None where the table is not enough and the shard has to be read: samples without a row in it, a reviewed
picture, a missing agreement that the selection needs, a damaged table, a shard of another size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.artifacts import Store
from engine.box_batches import BOX_SCHEMA, box_columns, codes, joined, numbered, texts
from engine.dataset.annotation_tables import StoredTable, TableFault, read_unit_tables
from engine.dataset.manifest_summary import ManifestSummary
from engine.dataset.shard_files import shard_name
from engine.mix.samples import Rows
from engine.selecting.columns import Integers
from engine.selecting.rules import select_rows
from engine.selection import Selection
from engine.view import View


class KeptRows(NamedTuple):
    """The rows of a shard, ascending, whose samples keep a box, and how many phrases and boxes they keep.

    For each of these boxes, ``sample_of_box`` is an index into ``rows``, ``name_of_box`` one into ``names``.
    """

    rows: Rows
    phrases: int
    boxes: int
    sample_of_box: Integers
    name_of_box: Integers
    names: Sequence[str]


NamedBy = Literal["phrase_text", "head_lemma"]


def kept_rows(
    store: Store, manifests: Sequence[ManifestSummary], view: View, named_by: NamedBy
) -> Iterator[KeptRows | None]:
    """The kept rows of each manifest's shard, in order; None where the shard has to be read. Errors of the store are
    raised."""
    selection = view.selection or Selection()
    sizes = {f"shards/{name}": size for name, size in store.sizes("shards").items()}
    reviewed = pa.array(sorted({image for image, _ in view.verdicts.by_caption}), pa.string())
    needed = [name for name in BOX_SCHEMA.names if name != "agreement" or selection.min_agreement is not None]
    tables = read_unit_tables(store, [manifest.unit for manifest in manifests], BOX_SCHEMA)
    for manifest, stored in zip(manifests, tables, strict=True):
        name = shard_name(manifest.unit)  # a missing shard is noticed now, not in the middle of a training
        there = any((file.path, file.size) == (name, sizes.get(name)) for file in manifest.files)
        if there and not isinstance(stored, TableFault) and _tells_all(stored, manifest, needed, reviewed):
            yield _kept(stored, manifest.samples, selection, view.duplicates.of(manifest.unit), named_by)
        else:
            yield None


def _tells_all(stored: StoredTable, manifest: ManifestSummary, needed: Sequence[str], reviewed: pa.Array) -> bool:
    table = stored.table
    if len(table) != manifest.boxes or any(table[name].null_count for name in needed):
        return False
    return not pc.any(pc.is_in(table["image_sha256"].cast(pa.string()), reviewed)).as_py()


def _kept(
    stored: StoredTable, samples: int, selection: Selection, left_out: frozenset[int], named_by: NamedBy
) -> KeptRows | None:
    [table] = joined([stored])
    table, sample = numbered(table)
    if int(sample.max(initial=-1)) + 1 != samples:  # some have no row, so that their numbers are not those of the shard
        return None
    stays = np.zeros(0, dtype=bool)
    if samples:
        stays = select_rows(box_columns(table, sample), selection)[0] & ~np.isin(sample, sorted(left_out))
    rows, sample_of_box = np.unique(sample[stays], return_inverse=True)
    phrase = table["phrase"].to_numpy().astype(np.int64)[stays]
    phrases = np.unique(sample_of_box * (phrase.max(initial=0) + 1) + phrase)
    names = [name or "" for name in texts(table, named_by).to_pylist()]
    return KeptRows(
        rows.astype(np.int32), len(phrases), len(phrase), sample_of_box, codes(table, named_by)[stays], names
    )
