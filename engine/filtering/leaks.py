"""The guard against pictures that models are evaluated on: what a job labels must not hold them.

In: datasets of this project's format. Out: a guard that says of an encoded picture whether it is one of theirs: the
same file by its SHA-256, or another file of the picture by its perceptual hash. The driver reads it once and gives each
worker all of it, so that what a shard holds depends on the shard alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from engine.artifacts import Store, digest_of
from engine.dataset.manifest_summary import ManifestSummary
from engine.duplicates import shards_digest
from engine.filtering.image_hash import ALGORITHM, WordArray, coarse_distances, near, words_of
from engine.filtering.image_identity import image_identities
from engine.shards import read_card, read_manifests
from schemas.records import CaptionedImage

LEAK, LEAK_NEAR = LEAK_REASONS = ("leak", "leak_near")


@dataclass(frozen=True)
class LeakGuard:
    """The pictures that must not be labelled. ``by_sha256`` and ``where`` (one for each of ``hashes``) name a sample of
    each picture as ``DATASET/KEY``."""

    by_sha256: dict[bytes, str]
    hashes: WordArray
    where: tuple[str, ...]
    max_distance: int

    def find(self, image: CaptionedImage) -> tuple[str, str] | None:
        """The reason (``leak`` or ``leak_near``) and a message, if the identified picture is one of the guard's;
        otherwise None."""
        assert image.sha256 is not None, "a guard knows pictures by what `identified` says of them"
        sample = self.by_sha256.get(bytes.fromhex(image.sha256))
        if sample is not None:
            return LEAK, f"the same file as {sample}, which is evaluated on (leaks)"
        if image.phash is None or not len(self.hashes):
            return None
        word = words_of([int(image.phash, 16)])[0]
        hits = np.flatnonzero(near(self.hashes, word, self.max_distance))
        if not len(hits):
            return None
        distances = coarse_distances(self.hashes[hits], word)
        nearest = int(distances.argmin())
        return LEAK_NEAR, (
            f"its perceptual hash is {distances[nearest]} bits from that of {self.where[hits[nearest]]}, which is "
            f"evaluated on (leaks; max_leak_distance {self.max_distance})"
        )

    def digest(self) -> str:
        """Digest of all that decides what is found and said: the pictures and their names, not where they lie."""
        return digest_of([ALGORITHM, [[digest.hex(), where] for digest, where in self.by_sha256.items()]])


def read_leak_guard(datasets: Sequence[str], max_distance: int) -> LeakGuard | None:
    """The guard of the pictures of ``datasets``; None for no dataset.

    ValueError where one is no dataset, is not complete, is damaged, or has no picture: a guard with holes is worse than
    none.
    """
    by_sha256: dict[bytes, str] = {}
    by_hash: dict[int, str] = {}
    for name, _, store, manifests in sorted(map(_opened, datasets), key=lambda one: one[:2]):
        for image in chain.from_iterable(image_identities(store, manifests)):
            where = f"{name}/{image.key}"
            by_sha256.setdefault(image.sha256, where)
            if image.phash is not None:
                by_hash.setdefault(image.phash, where)
    if not datasets:
        return None
    return LeakGuard(by_sha256, words_of(by_hash), tuple(by_hash.values()), max_distance)


def _opened(dataset: str) -> tuple[str, str, Store, list[ManifestSummary]]:
    """A dataset by the name of its folder and its contents, which decide whose picture one of several datasets is."""
    store = Store(dataset)
    card, manifests = read_card(store), read_manifests(store)
    if not card.complete or card.samples == 0:
        state = "has no picture" if card.complete else "is not complete"
        raise ValueError(f"leaks: {store.root} {state}; finish it, or take it out of the list")
    return store.name, shards_digest(manifests), store, manifests
