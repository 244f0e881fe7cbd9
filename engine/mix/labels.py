"""Pictures that several samples have: what the others say is in one, as a photo may have phrases in one dataset and
class names in another, and five captions in one; and how many pictures of an exam are learned from.

In: the annotation tables of the datasets. Out: for a picture that at least two samples have, by the SHA-256 of its
file, the phrases and head lemmas of all its boxes. Pictures of one sample cost nothing; while they are looked for, a
sample takes eight bytes.
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
    read says nothing: `verify` tells of it."""
    shared = _shared([words for store in stores for words in _words_of_samples(store)])
    found: dict[str, set[str]] = defaultdict(set)
    if len(shared):
        for store in stores:
            for table in _tables(store):
                for picture, names in _names_of_shared(table, shared):
                    found[picture] |= names
    return {picture: frozenset(names) for picture, names in found.items()}


def shared_pictures(store: Store, others: Iterable[Store]) -> tuple[int, int]:
    """How many pictures with a box a dataset has, and how many of them one of the ``others`` has, too. Its own pictures
    alone are held in memory."""
    own = _pictures(store)
    is_shared = np.zeros(len(own), dtype=bool)
    for other in others:
        for words in _words_of_samples(other):
            is_shared |= np.isin(own, words)
    return len(own), int(is_shared.sum())


def _tables(store: Store, columns: pa.Schema = SCHEMA) -> Iterator[pa.Table]:
    """Without rows of no picture, which a table of another writer may have."""
    for stored in read_unit_tables(store, committed_units(store), columns):
        if not isinstance(stored, TableFault):
            yield stored.table.filter(stored.table["image_sha256"].is_valid())


def _words_of_samples(store: Store) -> Iterator[Words]:
    """Eight bytes of the digest of each sample's picture; the rows of a sample stand together."""
    for table in filter(len, _tables(store, PICTURES)):
        begins = np.flatnonzero(np.diff(codes(table, "key"), prepend=-1))
        yield _words(table)[codes(table, "image_sha256")[begins]]


def _pictures(store: Store) -> Words:
    """The same of a dataset's pictures, each once, sorted."""
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *_words_of_samples(store)]))


def _words(table: pa.Table) -> Words:
    """Eight bytes of each digest that the codes of the pictures mean."""
    return folded_digests(texts(table, "image_sha256"))[:, 0]


def _shared(samples: Sequence[Words]) -> Words:
    values, counts = np.unique(np.concatenate([*samples, np.zeros(0, np.uint64)]), return_counts=True)
    return values[counts > 1]


def _names_of_shared(table: pa.Table, shared: Words) -> Iterator[tuple[str, set[str]]]:
    rows = np.isin(_words(table), shared)[codes(table, "image_sha256")]
    for row in table.filter(pa.array(rows)).to_pylist():
        yield row["image_sha256"], {intern(row[name]) for name in NAMES if row[name]}
