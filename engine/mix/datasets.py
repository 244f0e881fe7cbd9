"""The datasets of a mix: which samples of each can be drawn, after selection, duplicates and verdicts, and its size.

In: a dataset's folder and its entry in the recipe. Out: a :class:`MixedDataset`. Human shards are taken whole. For
pseudo ones the tables of boxes tell which samples a selection leaves; for both they tell which phrases are rare. A
shard is opened only where its table does not suffice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import repeat
from math import ceil

import numpy as np

from engine.artifacts import Store, digest_of
from engine.dataset.manifest_summary import ManifestSummary
from engine.mix.kept_rows import KeptRows, kept_rows
from engine.mix.order import Interleave, Passes
from engine.mix.repeats import PhraseLog, repeat_quarters
from engine.mix.samples import SampleRefs, UnitRows
from engine.selection import Selection, chosen_rules
from engine.shards import ShardReader, read_card, read_manifests
from engine.view import View, open_view
from schemas.class_prompts import AskedClass, asked_of
from schemas.recipes import MixEntry, MixSampling
from schemas.shards import DatasetCard

TEMPERATURE_PERIOD = 10_000


@dataclass(frozen=True, slots=True)
class MixedDataset:
    """One dataset of a mix, with the samples that can be drawn from it and its size after selection.

    ``skipped`` counts the samples that cannot be drawn. ``asked`` has the classes whose prompt is not their own name.
    """

    name: str
    store: Store
    card: DatasetCard
    view: View
    refs: SampleRefs
    phrases: int
    boxes: int
    skipped: int
    fingerprint: str
    asked: Mapping[str, AskedClass]


@dataclass(frozen=True, slots=True)
class _Opened:
    """The rows of a shard that can be drawn, and how many phrases and boxes they have."""

    rows: UnitRows
    phrases: int
    boxes: int


def open_datasets(
    entries: Sequence[MixEntry], sampling: MixSampling, seed: int
) -> tuple[list[MixedDataset], list[Passes]]:
    """The datasets of ``entries`` and the order of the samples in each.

    ValueError where a folder is no dataset, has no committed shard, nothing of it is left after selection, or a prompt
    is for a class that the dataset does not have.
    """
    vocabulary: dict[str, int] = {}
    threshold = sampling.repeat_threshold
    logs = [PhraseLog(vocabulary) for _ in entries] if threshold else []
    datasets = [
        _open_dataset(number, entry, logs[number] if logs else None, sampling) for number, entry in enumerate(entries)
    ]
    repeats = repeat_quarters(logs, threshold) if threshold else [None] * len(entries)
    return datasets, [
        Passes(len(dataset.refs), seed, number, quarters)
        for number, (dataset, quarters) in enumerate(zip(datasets, repeats, strict=True))
    ]


def interleave_of(entries: Sequence[MixEntry], passes: Sequence[Passes], sampling: MixSampling) -> Interleave:
    """How the datasets take turns: by weight, by copies, or by weight and size.

    ValueError where only some entries have copies, or copies are combined with a temperature.
    """
    copies = [entry.copies for entry in entries]
    if all(count is None for count in copies):
        if sampling.temperature is None:
            return Interleave([entry.weight for entry in entries])
        sizes = [float(one.length) ** (1 / sampling.temperature) for one in passes]
        return Interleave(_rounded([entry.weight * size for entry, size in zip(entries, sizes, strict=True)]))
    if any(count is None for count in copies) or sampling.temperature is not None:
        raise ValueError("either every entry has `copies` or none does, and `copies` go with no temperature")
    return Interleave([Fraction(str(count)) * one.length for count, one in zip(copies, passes, strict=True)])


def epoch_of(entries: Sequence[MixEntry], passes: Sequence[Passes]) -> int | None:
    """The number of samples in an epoch of the mix (all copies, rounded up). None where shares are by weight."""
    if any(entry.copies is None for entry in entries):
        return None
    return ceil(sum(Fraction(str(entry.copies)) * one.length for entry, one in zip(entries, passes, strict=True)))


def _rounded(weights: Sequence[float]) -> list[float]:
    """Weights as whole ten-thousandths, by largest remainder; at least one for each dataset."""
    quotas = [weight / sum(weights) * TEMPERATURE_PERIOD for weight in weights]
    turns = [max(1, int(quota)) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda i: int(quotas[i]) - quotas[i])
    for i in by_remainder[: max(0, TEMPERATURE_PERIOD - sum(turns))]:
        turns[i] += 1
    return [float(count) for count in turns]


def entry_fingerprint(entry: MixEntry) -> str:
    """The fingerprint that the dataset of an entry has in a mix, without reading its samples. ValueError as
    :func:`open_datasets`, except where a selection leaves nothing."""
    return _find(entry).fingerprint()


@dataclass(frozen=True, slots=True)
class _Found:
    """A dataset and its view: everything that decides which samples can be drawn from it."""

    name: str
    store: Store
    card: DatasetCard
    manifests: Sequence[ManifestSummary]
    view: View
    asked: Mapping[str, AskedClass]

    def fingerprint(self) -> str:
        """The digest of its shards, selection, prompts, duplicates and verdicts."""
        view = self.view
        content = {
            "files": [_digests(manifest) for manifest in self.manifests],
            "selection": None if view.selection is None else view.selection.identity(),
            "prompts": {of: asdict(one) for of, one in self.asked.items()},
            **view.digests(),
        }
        return digest_of(content)


def _find(entry: MixEntry) -> _Found:
    store = Store(entry.dataset)
    card, manifests = read_card(store), read_manifests(store)
    name = store.name
    return _Found(
        name=name,
        store=store,
        card=card,
        manifests=manifests,
        view=open_view(store, manifests, chosen_rules(card, entry.selection)),
        asked=asked_of(card, name, entry.prompts),
    )


def _open_dataset(number: int, entry: MixEntry, log: PhraseLog | None, sampling: MixSampling) -> MixedDataset:
    found = _find(entry)
    parts = list(_parts(found, log, by_head=sampling.repeat_by == "head"))
    refs = SampleRefs(number, [part.rows for part in parts])
    samples = sum(manifest.samples for manifest in found.manifests)
    if not len(refs):
        raise ValueError(
            f"dataset {entry.dataset} has no sample to learn from ({samples} in {len(parts)} shards, selection "
            f"{entry.selection or found.card.selection!r}); choose another selection or take it out of the mix"
        )
    return MixedDataset(
        name=found.name,
        store=found.store,
        card=found.card,
        view=found.view,
        refs=refs,
        phrases=sum(part.phrases for part in parts),
        boxes=sum(part.boxes for part in parts),
        skipped=samples - len(refs),
        fingerprint=found.fingerprint(),
        asked=found.asked,
    )


def _digests(manifest: ManifestSummary) -> list[str]:
    return [file.sha256 for file in manifest.files if file.path.startswith("shards/")]


def _parts(found: _Found, log: PhraseLog | None, *, by_head: bool) -> Iterator[_Opened]:
    """The samples of each shard that can be drawn: by its table of boxes where that suffices, which is much faster."""
    selection = found.view.selection
    if selection is None and log is None:
        yield from map(_whole, found.manifests)
        return
    known: Iterator[KeptRows | None] = repeat(None)
    if _is_for(selection, found.card):
        known = kept_rows(found.store, found.manifests, found.view, "head_lemma" if by_head else "phrase_text")
    for manifest, kept in zip(found.manifests, known, strict=False):
        if kept is None:
            opened = _from_shard(found, manifest, log, by_head=by_head)
        else:
            opened = _from_table(manifest.unit, kept, log)
        yield _whole(manifest) if selection is None else opened


def _whole(manifest: ManifestSummary) -> _Opened:
    """All rows of a shard without selection. Boxes that a reviewer rejected are removed when a sample is loaded."""
    return _Opened(UnitRows(manifest.unit, manifest.samples), manifest.phrases, manifest.boxes)


def _is_for(selection: Selection | None, card: DatasetCard) -> bool:
    """Whether a selection fits the dataset. One calibrated for another teacher does not: reading labels raises."""
    calibrated = None if selection is None else selection.calibrated
    return calibrated is None or calibrated.teacher == card.teacher_digest


def _from_table(unit: int, kept: KeptRows, log: PhraseLog | None) -> _Opened:
    if log is not None:
        names = [name.lower() for name in kept.names]
        log.add_samples(len(kept.rows), kept.sample_of_box, kept.name_of_box, names)
    return _Opened(UnitRows(unit, len(kept.rows), kept.rows), kept.phrases, kept.boxes)


def _from_shard(found: _Found, manifest: ManifestSummary, log: PhraseLog | None, *, by_head: bool) -> _Opened:
    """The rows of a shard that can be drawn, found by reading its labels."""
    selection, left_out = found.view.selection, found.view.duplicates.of(manifest.unit)
    kept, phrases, boxes = [], 0, 0
    with ShardReader(found.store, manifest.unit) as reader:
        for row in (row for row in range(manifest.samples) if row not in left_out):
            labels, _ = found.view.seen(reader.labels(row))
            if selection is None or labels.boxes:
                kept.append(row)
                boxed = sorted({box.phrase for box in labels.boxes})
                phrases, boxes = phrases + len(boxed), boxes + len(labels.boxes)
                if log is not None:
                    named = (labels.phrases[place] for place in boxed)
                    log.add((one.head_lemma if by_head else one.text).lower() for one in named)
    return _Opened(UnitRows(manifest.unit, len(kept), np.array(kept, dtype=np.int32)), phrases, boxes)
