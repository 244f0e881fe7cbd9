"""What a model is evaluated on: a whole dataset of human annotations, or the first samples of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from engine.artifacts import Store, digest_of
from engine.shards import LabelledImage, committed_units, read_card, read_shard
from schemas.shards import DatasetCard


@dataclass(frozen=True)
class Exam:
    """A dataset to be evaluated on."""

    store: Store
    card: DatasetCard
    name: str
    limit: int | None

    @property
    def fingerprint(self) -> str:
        return digest_of([self.card.source_fingerprint, self.card.recipe_digest, self.limit])

    def __len__(self) -> int:
        return min(self.card.samples, self.limit or self.card.samples)

    def samples(self) -> Iterator[LabelledImage]:
        everything = (sample for unit in committed_units(self.store) for sample in read_shard(self.store, unit))
        return islice(everything, self.limit)


def open_exam(dataset: str, limit: int | None) -> Exam:
    """The dataset in the folder ``dataset``; ValueError where it is none, not whole, or not human."""
    store = Store(dataset)
    card = read_card(store)
    if card.origin != "human" or not card.complete:
        raise ValueError(
            f"{dataset} is {'not complete' if card.origin == 'human' else 'pseudo-labelled'}; "
            "a model is evaluated on a whole dataset of human annotations, as `import` makes it"
        )
    return Exam(store, card, Path(store.root).name, limit)
