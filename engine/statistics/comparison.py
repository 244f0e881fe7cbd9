"""Two datasets side by side: the same numbers, how far their distributions drifted, the phrases that changed most.

In: two datasets' reports and tables in one database. Out: a :class:`~schemas.dataset_comparison.DatasetComparison`. No
sample is matched with another, so that the datasets may be of different sources; ``glip-engine diff`` compares two
labellings of one source box by box. Sources: Lin 1991 (Jensen-Shannon), Siddiqi 2006 (population stability index).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from engine.statistics import DatasetStatistics
from engine.statistics.tables import StatisticsTables
from schemas.dataset_comparison import ComparedNumber, DatasetComparison, Drift, PhraseChange, VocabularyOverlap
from schemas.dataset_report import Histogram, Statistic

CHANGED = 50
DIGITS = 6
_BINS = "scores box_sizes box_aspects boxes_per_image boxes_per_phrase phrases_per_image image_sides image_aspects"
BINS = frozenset(_BINS.split())  # histograms whose drift is told
LEAST_SHARE = 1e-4  # of a bin in the stability index, which has no value for an empty one
JENSEN_SHANNON = (
    "Jensen-Shannon divergence of the shares of the bins, in bits: 0 for equal ones, 1 for nothing in common"
)
PSI = (
    "population stability index: the sum of (after - before) * ln(after / before) over the shares of the bins, each at "
    f"least {LEAST_SHARE}"
)
DEFINITION = (
    "No sample of one dataset is matched with one of the other: totals and distributions are compared. "
    f"{JENSEN_SHANNON}; {PSI}."
)
# What an occurrence share of p before and q after adds to the divergence, with m their mean.
_BITS = """
(CASE WHEN p > 0 THEN p * log2(p / ((p + q) / 2)) ELSE 0 END + CASE WHEN q > 0 THEN q * log2(q / ((p + q) / 2)) ELSE 0
END) / 2
"""
_SHARES = """
SELECT coalesce(a.{text}, b.{text}) AS text, coalesce(a.occurrences, 0) AS before, coalesce(b.occurrences, 0) AS after,
       before / {before_total}::DOUBLE AS p, after / {after_total}::DOUBLE AS q
FROM {before}.{table} a FULL JOIN {after}.{table} b ON a.{text} = b.{text}
"""


def compare(before: DatasetStatistics, after: DatasetStatistics, difference: str) -> DatasetComparison:
    """The comparison; ``difference`` says in words how the two labelling jobs differ."""
    first, second = before.report, after.report
    phrases = _Shares(before.tables, after.tables, "phrases", "phrase")
    heads = _Shares(before.tables, after.tables, "heads", "head_lemma")
    histograms = {one.name: one for one in second.histograms if one.name in BINS}
    return DatasetComparison(
        before=first.dataset,
        after=second.dataset,
        before_selection=first.selection,
        after_selection=second.selection,
        difference=difference,
        numbers=_numbers(first.numbers, second.numbers),
        drifts=[
            *(histogram_drift(one, histograms[one.name]) for one in first.histograms if one.name in histograms),
            phrases.drift("phrases", "Phrases", "phrases (lower case)"),
            heads.drift("head_lemmas", "Head lemmas", "head lemmas"),
        ],
        vocabulary=phrases.overlap(),
        phrases=phrases.changed(),
        heads=heads.changed(),
        definition=DEFINITION,
    )


def _numbers(before: Sequence[Statistic], after: Sequence[Statistic]) -> list[ComparedNumber]:
    """The numbers that both datasets have, in the order of the first."""
    others = {one.name: one for one in after}
    return [_compared(one, others[one.name]) for one in before if one.name in others]


def _compared(before: Statistic, after: Statistic) -> ComparedNumber:
    first, second = before.value, after.value
    known = first is not None and second is not None
    return ComparedNumber(
        name=before.name,
        title=before.title,
        before=first,
        after=second,
        difference=round((second or 0.0) - (first or 0.0), DIGITS) if known else None,
        ratio=round((second or 0.0) / first, DIGITS) if known and first else None,
        definition=before.definition,
        unit=before.unit,
    )


# -------------------------------------------------------------------------------------------------------------- drift


def jensen_shannon(before: Sequence[int], after: Sequence[int]) -> float | None:
    """The divergence of two sequences of counts in bits, 0 to 1; None where one has nothing."""
    if not sum(before) or not sum(after):
        return None
    p, q = (np.asarray(counts, dtype=np.float64) / sum(counts) for counts in (before, after))
    middle = (p + q) / 2
    both = sum(float((one[one > 0] * np.log2(one[one > 0] / middle[one > 0])).sum()) for one in (p, q))
    return round(min(max(both / 2, 0.0), 1.0), DIGITS)


def stability_index(before: Sequence[int], after: Sequence[int]) -> float | None:
    """The population stability index of two sequences of counts; None where one has nothing."""
    if not sum(before) or not sum(after):
        return None
    pairs = zip(before, after, strict=True)
    shares = [(max(a / sum(before), LEAST_SHARE), max(b / sum(after), LEAST_SHARE)) for a, b in pairs]
    return round(sum((q - p) * math.log(q / p) for p, q in shares), DIGITS)


def histogram_drift(before: Histogram, after: Histogram) -> Drift:
    """How far a histogram moved; both have the same bins."""
    edges = [f"{low:g} to {high:g}" for low, high in pairwise(before.edges)]
    if before.open_start:
        edges[0] = f"below {before.edges[1]:g}"
    if before.open_end:
        edges[-1] = f"{before.edges[-2]:g} and more"
    return Drift(
        name=before.name,
        title=before.title,
        unit=before.unit,
        bins=edges,
        before=before.counts,
        after=after.counts,
        jensen_shannon=jensen_shannon(before.counts, after.counts),
        psi=stability_index(before.counts, after.counts),
        definition=f"{before.definition} {JENSEN_SHANNON}; {PSI}.",
    )


# ------------------------------------------------------------------------------------------------------------ phrases


class _Shares:
    """Occurrences of texts in two datasets, as shares of all occurrences."""

    def __init__(self, before: StatisticsTables, after: StatisticsTables, table: str, text: str) -> None:
        self._tables = before
        count = f"SELECT coalesce(sum(occurrences), 0)::BIGINT FROM {table}"
        self._totals = [one.one(count)[0] for one in (before, after)]
        self._sql = _SHARES.format(
            text=text,
            table=table,
            before=before.schema,
            after=after.schema,
            before_total=max(self._totals[0], 1),
            after_total=max(self._totals[1], 1),
        )

    def overlap(self) -> VocabularyOverlap:
        both, before, after = self._tables.one(
            "SELECT count(*) FILTER (before > 0 AND after > 0), count(*) FILTER (after = 0), count(*) FILTER "
            f"(before = 0) FROM ({self._sql})"
        )
        total = both + before + after
        return VocabularyOverlap(
            both=both, before_only=before, after_only=after, jaccard=round(both / total, DIGITS) if total else None
        )

    def drift(self, name: str, title: str, unit: str) -> Drift:
        """The drift over all texts; its bins are the texts that changed most, and one for all others."""
        shown = self.changed()[:20]
        sides = [one.before for one in shown], [one.after for one in shown]
        before, after = ([*side, total - sum(side)] for side, total in zip(sides, self._totals, strict=True))
        known = all(self._totals)
        [bits] = self._tables.one(f"SELECT sum({_BITS}) FROM ({self._sql})")
        psi = "sum((greatest(q, {least}) - greatest(p, {least})) * ln(greatest(q, {least}) / greatest(p, {least})))"
        [index] = self._tables.one(f"SELECT {psi.format(least=LEAST_SHARE)} FROM ({self._sql})")
        return Drift(
            name=name,
            title=title,
            unit=unit,
            bins=[*(one.text for one in shown), "all others"],
            before=before,
            after=after,
            jensen_shannon=round(min(max(bits, 0.0), 1.0), DIGITS) if known else None,
            psi=round(index, DIGITS) if known else None,
            definition=f"Occurrences of all {unit} with a box, each a bin. {JENSEN_SHANNON}; {PSI}.",
        )

    def changed(self) -> list[PhraseChange]:
        """The texts whose share adds most to the divergence."""
        rows = self._tables.rows(
            f"SELECT text, before, after, p * 1e6, q * 1e6, {_BITS} AS bits FROM ({self._sql}) WHERE p <> q "
            f"ORDER BY round(bits, 12) DESC, text LIMIT {CHANGED}"
        )
        return [
            PhraseChange(
                text=text,
                before=before,
                after=after,
                before_per_million=round(p, DIGITS),
                after_per_million=round(q, DIGITS),
                bits=round(bits, 12),
            )
            for text, before, after, p, q, bits in rows
        ]
