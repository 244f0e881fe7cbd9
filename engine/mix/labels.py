"""Pictures that several samples have: the names that all of these samples have, and how many pictures datasets share.

One photo may have phrases in one dataset, class names in another, and five captions in a third.

In: the annotation tables of the datasets. Out: for each picture that at least two samples have, by the SHA-256 of its
file, the phrases and head lemmas of all its boxes. Other pictures take no memory; the search takes eight bytes a
sample.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.artifacts import Store
from engine.box_batches import TEXT, codes, folded_digests, texts
from engine.dataset.annotation_tables import TableFault, read_unit_tables
from engine.shards import committed_units

NAMES = ("phrase_text", "head_lemma")
PICTURES = pa.schema([("key", TEXT), ("image_sha256", TEXT)])
SCHEMA = pa.schema([("image_sha256", TEXT), *((name, TEXT) for name in NAMES)])
Words = npt.NDArray[np.uint64]


def names_by_picture(stores: Sequence[Store]) -> Mapping[str, frozenset[str]]:
    """The names of each picture that at least two samples of ``stores`` have, by its SHA-256. A table that cannot be
    read is skipped: `verify` reports it."""
    shared = _shared([words for store in stores for words in _words_of_samples(store)])
    found: dict[str, set[str]] = defaultdict(set)
    if len(shared):
        for store in stores:
            for table in _tables(store):
                for picture, names in _names_of_shared(table, shared):
                    found[picture] |= names
    return {picture: frozenset(names) for picture, names in found.items()}


def shared_pictures(store: Store, others: Iterable[Store]) -> tuple[int, int]:
    """The number of pictures with a box in a dataset, and how many of them are also in one of the ``others``. Only the
    first dataset's pictures are held in memory."""
    own = _pictures(store)
    is_shared = np.zeros(len(own), dtype=bool)
    for other in others:
        for words in _words_of_samples(other):
            is_shared |= np.isin(own, words)
    return len(own), int(is_shared.sum())


def _tables(store: Store, columns: pa.Schema = SCHEMA) -> Iterator[pa.Table]:
    """The readable tables of a dataset, without rows that name no picture, which another writer may have left."""
    for stored in read_unit_tables(store, committed_units(store), columns):
        if not isinstance(stored, TableFault):
            yield stored.table.filter(stored.table["image_sha256"].is_valid())


def _words_of_samples(store: Store) -> Iterator[Words]:
    """Eight bytes of the picture's digest for each sample, table by table. The rows of a sample must be adjacent."""
    for table in filter(len, _tables(store, PICTURES)):
        begins = np.flatnonzero(np.diff(codes(table, "key"), prepend=-1))
        yield _words(table)[codes(table, "image_sha256")[begins]]


def _pictures(store: Store) -> Words:
    """Eight bytes of the digest of each picture of a dataset, sorted, without repetition."""
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *_words_of_samples(store)]))


def _words(table: pa.Table) -> Words:
    """Eight bytes of each digest in the dictionary of the column ``image_sha256``."""
    return folded_digests(texts(table, "image_sha256"))[:, 0]


def _shared(samples: Sequence[Words]) -> Words:
    values, counts = np.unique(np.concatenate([*samples, np.zeros(0, np.uint64)]), return_counts=True)
    return values[counts > 1]


def _names_of_shared(table: pa.Table, shared: Words) -> Iterator[tuple[str, set[str]]]:
    rows = np.isin(_words(table), shared)[codes(table, "image_sha256")]
    for row in table.filter(pa.array(rows)).to_pylist():
        yield row["image_sha256"], {intern(row[name]) for name in NAMES if row[name]}
