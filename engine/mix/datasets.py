"""Opening the datasets of a mix: what can be drawn from each after selection, duplicates and verdicts, and its size.

In: a dataset's folder and how a recipe wants it read. Out: a :class:`MixedDataset`. Human shards are taken whole and
not opened, unless their phrases are asked for; pseudo ones are read once to know what a selection leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from engine.artifacts import Store, digest_of
from engine.duplicates import Duplicates, read_duplicates
from engine.mix.order import Interleave, Passes
from engine.mix.repeats import PhraseLog, repeat_quarters
from engine.mix.samples import SampleRefs, UnitRows
from engine.review.selecting import select_reviewed
from engine.review.verdicts import Verdicts, read_verdicts
from engine.selection import Selection, resolve_selection
from engine.shards import ShardReader, committed_units, read_card, read_manifest
from schemas.recipes import MixEntry, MixSampling
from schemas.shards import DatasetCard, SampleLabels, ShardManifest

TEMPERATURE_PERIOD = 10_000


@dataclass(frozen=True, slots=True)
class MixedDataset:
    """One dataset of a mix: what can be drawn from it, and its size after selection."""

    name: str
    store: Store
    card: DatasetCard
    selection: Selection | None
    verdicts: Verdicts
    refs: SampleRefs
    phrases: int
    boxes: int
    skipped: int
    fingerprint: str

    def learned(self, labels: SampleLabels) -> SampleLabels:
        """What is learned from a sample of it."""
        return _learned(labels, self.selection, self.verdicts)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A shard's rows that stay, and how many phrases and boxes are in them."""

    rows: UnitRows
    phrases: int
    boxes: int


def open_datasets(
    entries: Sequence[MixEntry], sampling: MixSampling, seed: int
) -> tuple[list[MixedDataset], list[Passes]]:
    """The datasets of ``entries`` and the order of the samples in each.

    ValueError where a folder is no dataset, has no committed shard, or nothing of it is left after selection.
    """
    vocabulary: dict[str, int] = {}
    logs = [PhraseLog(vocabulary) if sampling.repeat_threshold else None for _ in entries]
    datasets = [
        _open_dataset(number, entry, log, sampling)
        for number, (entry, log) in enumerate(zip(entries, logs, strict=True))
    ]
    known = [log for log in logs if log is not None]
    repeats = repeat_quarters(known, sampling.repeat_threshold) if sampling.repeat_threshold else [None] * len(entries)
    return datasets, [
        Passes(len(dataset.refs), seed, number, quarters)
        for number, (dataset, quarters) in enumerate(zip(datasets, repeats, strict=True))
    ]


def interleave_of(entries: Sequence[MixEntry], passes: Sequence[Passes], sampling: MixSampling) -> Interleave:
    """How the datasets take turns: by weight, by copies, or by weight and size.

    ValueError where some entries have copies and some have not, or copies go with a temperature.
    """
    copies = [entry.copies for entry in entries]
    if all(count is None for count in copies):
        if sampling.temperature is None:
            return Interleave([entry.weight for entry in entries])
        sizes = [float(one.length) ** (1 / sampling.temperature) for one in passes]
        return Interleave(_rounded([entry.weight * size for entry, size in zip(entries, sizes, strict=True)]))
    if any(count is None for count in copies) or sampling.temperature is not None:
        raise ValueError("of a mix, either every entry has `copies` or none has, and then there is no temperature")
    return Interleave([Fraction(str(count)) * one.length for count, one in zip(copies, passes, strict=True)])


def epoch_of(entries: Sequence[MixEntry], passes: Sequence[Passes]) -> int | None:
    """Samples of an epoch of the mix, to the next whole one: of all copies. None where shares are by weight."""
    if any(entry.copies is None for entry in entries):
        return None
    return -int(-sum(Fraction(str(e.copies)) * one.length for e, one in zip(entries, passes, strict=True)) // 1)


def _rounded(weights: Sequence[float]) -> list[float]:
    """Shares in ten-thousandths, by largest remainder; no dataset is left out."""
    quotas = [weight / sum(weights) * TEMPERATURE_PERIOD for weight in weights]
    turns = [max(1, int(quota)) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda i: int(quotas[i]) - quotas[i])
    for i in by_remainder[: max(0, TEMPERATURE_PERIOD - sum(turns))]:
        turns[i] += 1
    return [float(count) for count in turns]


def _open_dataset(number: int, entry: MixEntry, log: PhraseLog | None, sampling: MixSampling) -> MixedDataset:
    store = Store(entry.dataset)
    card = read_card(store)
    manifests = [manifest for unit in committed_units(store) if (manifest := read_manifest(store, unit)) is not None]
    selection = resolve_selection(entry.selection or card.selection) if card.origin == "pseudo" else None
    rules = None if selection is None else selection.identity()
    duplicates = Duplicates() if selection is None else read_duplicates(store, manifests)
    verdicts = read_verdicts(store)
    digests = {"duplicates": duplicates.digest, "verdicts": verdicts.digest}
    views = {"preset": rules} | {name: digest for name, digest in digests.items() if digest is not None}
    fingerprint = digest_of({"files": [_digests(manifest) for manifest in manifests], **views})
    parts = [
        _rows(store, one, selection, duplicates.of(one.unit), verdicts, log, by_head=sampling.repeat_by == "head")
        for one in manifests
    ]
    refs = SampleRefs(number, [part.rows for part in parts])
    samples = sum(manifest.samples for manifest in manifests)
    if not len(refs):
        raise ValueError(
            f"dataset {entry.dataset} has no sample to learn from ({samples} in {len(manifests)} shards, selection "
            f"{entry.selection or card.selection!r}); choose another selection or take it out of the mix"
        )
    return MixedDataset(
        name=store.root.rsplit("/", 1)[-1],
        store=store,
        card=card,
        selection=selection,
        verdicts=verdicts,
        refs=refs,
        phrases=sum(part.phrases for part in parts),
        boxes=sum(part.boxes for part in parts),
        skipped=samples - len(refs),
        fingerprint=fingerprint,
    )


def _digests(manifest: ShardManifest) -> list[str]:
    return [file.sha256 for file in manifest.files if file.path.startswith("shards/")]


def _rows(
    store: Store,
    manifest: ShardManifest,
    selection: Selection | None,
    left_out: frozenset[int],
    verdicts: Verdicts,
    log: PhraseLog | None,
    *,
    by_head: bool,
) -> _Opened:
    """What can be drawn from one shard, without the duplicates ``left_out``. Of a human shard what a reviewer rejected
    is gone when a sample is loaded."""
    if selection is None and log is None:
        rows = UnitRows(manifest.unit, manifest.samples)
        return _Opened(rows, manifest.phrases, manifest.boxes)
    kept, phrases, boxes = [], 0, 0
    reader = ShardReader(store, manifest.unit)
    try:
        for row in (row for row in range(manifest.samples) if row not in left_out):
            labels = _learned(reader.labels(row), selection, verdicts)
            if selection is None or labels.boxes:
                kept.append(row)
                boxed = sorted({box.phrase for box in labels.boxes})
                phrases, boxes = phrases + len(boxed), boxes + len(labels.boxes)
                if log is not None:
                    named = (labels.phrases[place] for place in boxed)
                    log.add((one.head_lemma if by_head else one.text).lower() for one in named)
    finally:
        reader.close()
    if selection is None:
        return _Opened(UnitRows(manifest.unit, manifest.samples), manifest.phrases, manifest.boxes)
    return _Opened(UnitRows(manifest.unit, len(kept), np.array(kept, dtype=np.int32)), phrases, boxes)


def _learned(labels: SampleLabels, selection: Selection | None, verdicts: Verdicts) -> SampleLabels:
    return select_reviewed(labels, selection, verdicts)[0]
