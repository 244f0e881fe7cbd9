"""A dataset as its readers see it: without duplicates, people's verdicts first, the selection after them.

In: a dataset's units and a selection. Out: which rows of a unit are left out, and what the labels of the others say.
Training, statistics, exports and pages read through it, so that they agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.artifacts import Store
from engine.dataset.manifest_summary import ManifestSummary
from engine.duplicates import Duplicates, read_duplicates
from engine.review.selecting import apply_verdicts
from engine.review.verdicts import Verdicts, read_verdicts
from engine.selection import Selection, select_with_reasons
from schemas.shards import SampleLabels


@dataclass(frozen=True)
class View:
    """No selection, as of human data, keeps every box that no reviewer rejected."""

    selection: Selection | None = None
    duplicates: Duplicates = field(default_factory=Duplicates)
    verdicts: Verdicts = field(default_factory=Verdicts)

    def seen(self, labels: SampleLabels) -> tuple[SampleLabels, dict[str, int]]:
        """What readers learn from a sample, and how many boxes were dropped for each reason."""
        reviewed = apply_verdicts(labels, self.verdicts.of(labels))
        if self.selection is None:
            return reviewed.labels, reviewed.dropped
        kept, dropped = select_with_reasons(reviewed.labels, self.selection, vouched=reviewed.vouched)
        return kept, reviewed.dropped | dropped


def open_view(store: Store, manifests: Sequence[ManifestSummary], selection: Selection | None) -> View:
    """The view of a dataset; of human data, which has no selection, duplicates stay. ValueError where the table of
    duplicates is of other shards."""
    duplicates = Duplicates() if selection is None else read_duplicates(store, manifests)
    return View(selection, duplicates, read_verdicts(store))
