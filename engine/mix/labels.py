"""What other datasets of a mix say is in a picture: the same photo may have phrases in one and class names in another.

In: the annotation tables of the datasets. Out: for a picture that at least two of them have, by the SHA-256 of its
file, the phrases and head lemmas of all its boxes. Pictures that one dataset alone has cost nothing; while the datasets
are compared, a picture takes eight bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.annotation_tables import TableFault, read_unit_tables
from engine.artifacts import Store
from engine.shards import annotations_name, committed_units

TEXT = pa.dictionary(pa.int32(), pa.string())
NAMES = ("phrase_text", "head_lemma")
SCHEMA = pa.schema([("image_sha256", TEXT), *((name, TEXT) for name in NAMES)])
Words = npt.NDArray[np.uint64]


def names_by_picture(stores: Sequence[Store]) -> Mapping[str, frozenset[str]]:
    """The names of each picture that at least two of ``stores`` have, by its SHA-256. A table that cannot be read says
    nothing: `verify` tells of it."""
    shared = _shared([_pictures(store) for store in stores])
    found: dict[str, set[str]] = defaultdict(set)
    if len(shared):
        for store in stores:
            for table in _tables(store):
                for picture, names in _names_of_shared(table, shared):
                    found[picture] |= names
    return {picture: frozenset(names) for picture, names in found.items()}


def _tables(store: Store) -> Iterator[pa.Table]:
    names = [(unit, annotations_name(unit)) for unit in committed_units(store)]
    for _, stored in read_unit_tables(store, names, SCHEMA, frozenset()):
        if not isinstance(stored, TableFault):
            yield stored.table


def _pictures(store: Store) -> Words:
    """The first eight bytes of the digests of a dataset's pictures, sorted."""
    parts = [_words(table["image_sha256"].unique().to_pylist()) for table in _tables(store)]
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)


def _words(digests: Iterable[str | None]) -> Words:
    return np.array([int(digest[:16], 16) for digest in digests if digest is not None], dtype=np.uint64)


def _shared(pictures: Sequence[Words]) -> Words:
    values, counts = np.unique(np.concatenate([*pictures, np.zeros(0, np.uint64)]), return_counts=True)
    return values[counts > 1]


def _names_of_shared(table: pa.Table, shared: Words) -> Iterator[tuple[str, set[str]]]:
    digests = table["image_sha256"].combine_chunks()
    known = digests.dictionary.to_pylist()
    is_shared = np.isin(_words(known), shared)
    rows = np.flatnonzero(is_shared[digests.indices.to_numpy()]) if len(known) else np.zeros(0, np.int64)
    for row in table.take(pa.array(rows)).to_pylist():
        yield row["image_sha256"], {row[name] for name in NAMES if row[name]}
