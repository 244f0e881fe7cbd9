"""A dataset as its readers see it: without duplicates, people's verdicts first, the selection after them.

In: a dataset's units and a selection. Out: which rows of a unit are left out, and what the labels of the others say.
Training, statistics, exports and pages read through it, so that they agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.artifacts import Store
from engine.dataset.manifest_summary import ManifestSummary
from engine.duplicates import Duplicates, read_duplicates
from engine.review.selecting import apply_verdicts
from engine.review.verdicts import Verdicts, read_verdicts
from engine.selection import Selection, chosen_rules, select_with_reasons
from engine.shards import LabelledImage, ShardReader, committed_units, placed_labels, read_card, read_manifests
from schemas.recipes import SelectionChoice
from schemas.shards import SampleLabels


@dataclass(frozen=True)
class View:
    """How readers see a dataset. Without a selection, as for human data, every box stays that no reviewer rejected."""

    selection: Selection | None = None
    duplicates: Duplicates = field(default_factory=Duplicates)
    verdicts: Verdicts = field(default_factory=Verdicts)

    def seen(self, labels: SampleLabels) -> tuple[SampleLabels, dict[str, int]]:
        """The labels of a sample as readers get them, and the number of boxes that were dropped for each reason."""
        reviewed = apply_verdicts(labels, self.verdicts.of(labels))
        if self.selection is None:
            return reviewed.labels, reviewed.dropped
        kept, dropped = select_with_reasons(reviewed.labels, self.selection, vouched=reviewed.vouched)
        return kept, reviewed.dropped | dropped

    def stored(self, store: Store) -> Iterator[SampleLabels]:
        """The samples that are not duplicates, in order, as stored; give each to :meth:`seen`. ValueError where a shard
        is not whole."""
        return (labels for (unit, row), labels in placed_labels(store) if row not in self.duplicates.of(unit))

    def samples(self, store: Store) -> Iterator[LabelledImage]:
        """The samples that are not duplicates, in order, with pictures and with labels as :meth:`seen` gives them.
        ValueError where a shard is not whole."""
        for unit in committed_units(store):
            left_out = self.duplicates.of(unit)
            with ShardReader(store, unit) as reader:
                stored = (reader[row] for row in range(len(reader)) if row not in left_out)
                yield from (replace(sample, labels=self.seen(sample.labels)[0]) for sample in stored)

    def digests(self) -> dict[str, str]:
        """The digests of the ``duplicates`` and ``verdicts`` tables, where there are such tables."""
        both = {"duplicates": self.duplicates.digest, "verdicts": self.verdicts.digest}
        return {name: digest for name, digest in both.items() if digest is not None}


def read_dataset(dataset: str | Path, selection: SelectionChoice | None = None) -> Iterator[LabelledImage]:
    """The samples of a dataset, human or pseudo, in a folder or at a URL, as every reader sees them; in order, one in
    memory at a time.

    ``selection`` says which boxes of a pseudo-labelled dataset count: a preset's name or numbers; None takes the one in
    its card. Human boxes are never selected. A sample that keeps no box is still given, with its phrases. An unfinished
    dataset gives the units that are there. ValueError where ``dataset`` is no dataset, where there is no such
    selection, or where a shard is not whole.
    """
    store = Store(dataset)
    rules = chosen_rules(read_card(store), selection)
    return open_view(store, read_manifests(store), rules).samples(store)


def open_view(store: Store, manifests: Sequence[ManifestSummary], selection: Selection | None) -> View:
    """The view of a dataset under a selection; None for human data, where duplicates stay. ValueError where the table
    of duplicates was made for other shards."""
    duplicates = Duplicates() if selection is None else read_duplicates(store, manifests)
    return View(selection, duplicates, read_verdicts(store))


def open_unselected(store: Store) -> View:
    """The view of a dataset with all its boxes, whatever its card selects. ValueError as of :func:`open_view`, and
    where there is no dataset."""
    duplicates = Duplicates() if read_card(store).origin == "human" else read_duplicates(store, read_manifests(store))
    return View(None, duplicates, read_verdicts(store))
