"""Two datasets, or the labels of two teachers, side by side: the same numbers, how far distributions drifted, and the
phrases that changed most.
"""

from __future__ import annotations

from schemas.reports import Document


class ComparedNumber(Document):
    """One number of both datasets; ``ratio`` is after / before, None where that cannot be taken."""

    name: str
    title: str
    before: float | None
    after: float | None
    difference: float | None
    ratio: float | None
    definition: str
    unit: str = ""


class Drift(Document):
    """How far one distribution moved. ``bins`` names the bins, ``before`` and ``after`` count in them.

    ``jensen_shannon``: divergence in bits, 0 (equal) to 1 (nothing in common). ``psi``: population stability index in
    nats; below 0.1 is read as stable, above 0.25 as shifted. None where a side has nothing to count.
    """

    name: str
    title: str
    unit: str
    bins: list[str]
    before: list[int]
    after: list[int]
    jensen_shannon: float | None
    psi: float | None
    definition: str


class PhraseChange(Document):
    """A phrase (or a head lemma) whose share of all occurrences changed: occurrences per million on both sides, and
    ``bits``, what it adds to the Jensen-Shannon divergence."""

    text: str
    before: int
    after: int
    before_per_million: float
    after_per_million: float
    bits: float


class VocabularyOverlap(Document):
    """Unique phrases that both have, and those that one alone has; ``jaccard`` is shared / all."""

    both: int
    before_only: int
    after_only: int
    jaccard: float | None


class DatasetComparison(Document):
    """``before`` and ``after`` are names of datasets in the report; ``drifts`` in a fixed order."""

    before: str
    after: str
    before_selection: str | None
    after_selection: str | None
    difference: str
    numbers: list[ComparedNumber]
    drifts: list[Drift]
    vocabulary: VocabularyOverlap
    phrases: list[PhraseChange]
    heads: list[PhraseChange]
    definition: str
