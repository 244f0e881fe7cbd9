"""Reviewed pseudo-labels as the data that a calibration is fitted on.

In: folders of datasets. Out: their verdicts as evidence, and the one teacher whose boxes were judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.artifacts import Store, digest_of
from engine.calibration import Evidence
from engine.review.evidence import verdict_evidence
from engine.review.verdicts import Verdicts, read_verdicts
from engine.shards import committed_units, read_card
from pipelines.lineage.nodes import dataset_digest
from schemas.calibration import Frequency


@dataclass(frozen=True)
class ReviewedDataset:
    """A pseudo-labelled dataset with its valid verdicts, and the digest of its teacher."""

    store: Store
    verdicts: Verdicts
    teacher: str

    def digest(self) -> str:
        """The digest of the labels and of all verdicts on them."""
        return digest_of([dataset_digest(self.store.root), self.verdicts.digest])

    def evidence(self, frequencies: Mapping[str, Frequency]) -> Evidence:
        """The stored boxes that were judged. ValueError where no verdict is about a stored box."""
        found = verdict_evidence(self.store, committed_units(self.store), self.verdicts, frequencies)
        if not len(found):
            raise ValueError(
                f"{self.store.root} has {len(self.verdicts)} verdicts, none of them about a box of the teacher's; "
                "review some with `glip-engine serve`"
            )
        return found


def open_reviewed(dataset: str) -> ReviewedDataset:
    """Open a reviewed dataset. ValueError where there is no dataset, it has no teacher, or no verdict."""
    store = Store(dataset)
    card = read_card(store)
    if card.teacher_digest is None:
        raise ValueError(f"{dataset} is not labelled by a teacher of ours: its verdicts say nothing about scores")
    verdicts = read_verdicts(store)
    if not len(verdicts):
        raise ValueError(f"{dataset} has no verdict yet; review some boxes with `glip-engine serve {dataset}`")
    return ReviewedDataset(store, verdicts, card.teacher_digest)


def one_teacher(reviewed: Sequence[ReviewedDataset], asked: str | None) -> str:
    """The digest of the one teacher of all datasets, and of the teacher ``asked`` to label human data, if there is one.
    ValueError where they are several teachers."""
    teachers = {one.store.root: one.teacher for one in reviewed}
    wanted = asked or next(iter(teachers.values()))
    other = next((root for root, teacher in teachers.items() if teacher != wanted), None)
    if other is not None:
        raise ValueError(
            f"{other} was labelled by teacher {teachers[other][:12]}, the calibration is of teacher {wanted[:12]}; "
            "scores of one teacher say nothing about another's"
        )
    return wanted
