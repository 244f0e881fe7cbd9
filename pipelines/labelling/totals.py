"""Sums over the units of a job. No manifest is kept, so 100,000 units take no more memory than ten.

In: manifests, one after another, in any order. Out: sums of counts and times, by stage in the order of the flow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.reports import StageCounts
from schemas.shards import ShardManifest

_STAGE_SUMS = ("came_in", "went_on", "phrases_left_out", "seconds", "computing_seconds", "elapsed_seconds")


def dropped_by_reason(stages: Iterable[StageCounts]) -> dict[str, int]:
    """The number of dropped samples by reason, over all stages: two stages may have a reason in common."""
    found: Counter[str] = Counter()
    for stage in stages:
        found.update(stage.dropped)
    return dict(found)


@dataclass(slots=True)
class StageSums:
    """Sums of one stage over many units: of the numeric fields of ``StageCounts`` by name, and of the dropped by
    reason."""

    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STAGE_SUMS, 0))
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, counts: StageCounts) -> None:
        sums = self.sums
        for name in _STAGE_SUMS:
            sums[name] += getattr(counts, name)
        if counts.dropped:
            self.dropped.update(counts.dropped)


@dataclass(slots=True)
class Totals:
    """Sums over units; empty to begin with."""

    units: int = 0
    rows: int = 0
    samples: int = 0
    phrases: int = 0
    boxes: int = 0
    rejects: int = 0
    by_stage: dict[str, StageSums] = field(default_factory=dict)

    def add(self, manifest: ShardManifest) -> None:
        """Add the counts of one unit."""
        self._add(manifest, 1, manifest.stages)

    def __add__(self, other: Totals) -> Totals:
        both = Totals()
        for totals in (self, other):
            both._add(totals, totals.units, totals.stages())
        return both

    def _add(self, counts: ShardManifest | Totals, units: int, stages: Iterable[StageCounts]) -> None:
        self.units += units
        self.rows += counts.rows
        self.samples += counts.samples
        self.phrases += counts.phrases
        self.boxes += counts.boxes
        self.rejects += counts.rejects
        for one in stages:
            if one.stage not in self.by_stage:
                self.by_stage[one.stage] = StageSums()
            self.by_stage[one.stage].add(one)

    def stages(self) -> list[StageCounts]:
        """The stage counts of all units, in the order of the flow."""
        return [
            StageCounts(stage=stage, dropped=dict(sorted(sums.dropped.items())), **sums.sums)  # type: ignore[arg-type]
            for stage, sums in self.by_stage.items()
        ]

    def utilisation(self) -> float | None:
        """Share of the workers' time, from their first unit on, in which the model computed; None without a model."""
        elapsed = sum(sums.sums["elapsed_seconds"] for sums in self.by_stage.values())
        computing = sum(sums.sums["computing_seconds"] for sums in self.by_stage.values())
        return round(computing / elapsed, 3) if elapsed else None
