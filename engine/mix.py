"""Human and pseudo shards as one weighted, seeded, fingerprinted stream of samples.

In: dataset folders with weights. Out: for each position 0, 1, 2, … of an endless stream one sample. Which one is a pure
function of the datasets, the weights, the seed and the position, so that any number of workers may each take their
positions, and a resumed run goes on at the exact sample.

Weights are kept exactly, by a fixed interleave rather than by chance; within a dataset every sample comes once a pass,
in an order drawn anew for each pass.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm

import numpy as np
import numpy.typing as npt

from engine.artifacts import Store, digest_of
from engine.duplicates import Duplicates, read_duplicates
from engine.selection import Selection, resolve_selection, select
from engine.shards import ShardReader, committed_units, read_card, read_manifest
from schemas.recipes import MixEntry
from schemas.shards import DatasetCard, SampleLabels, ShardManifest

MAX_PERIOD = 10_000
MAX_OPEN_SHARDS = 512
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SampleRef:
    """Where a sample stands: row ``row`` of shard ``unit`` of dataset number ``dataset`` of the mix."""

    dataset: int
    unit: int
    row: int


@dataclass(frozen=True, slots=True)
class MixedDataset:
    """One dataset of a mix: what can be drawn from it, and its size after selection."""

    name: str
    store: Store
    card: DatasetCard
    selection: Selection | None
    refs: tuple[SampleRef, ...]
    phrases: int
    boxes: int
    skipped: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class MixSample:
    """A sample as it is learned from: pseudo-labels already selected, the card says how to read it."""

    labels: SampleLabels
    image: bytes
    card: DatasetCard


class Interleave:
    """The order in which datasets take turns: a period in which dataset ``i`` comes exactly ``turns[i]`` times, evenly.

    >>> [Interleave([2, 1]).turn(position) for position in range(4)]
    [(0, 0), (1, 0), (0, 1), (0, 2)]
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self.turns = _turns_per_period(weights)
        due = [((k + 0.5) / count, i) for i, count in enumerate(self.turns) for k in range(count)]
        self._pattern = [dataset for _, dataset in sorted(due)]
        seen = [0] * len(self.turns)
        self._rank: list[int] = []
        for dataset in self._pattern:
            self._rank.append(seen[dataset])
            seen[dataset] += 1

    def turn(self, position: int) -> tuple[int, int]:
        """The dataset whose turn it is at ``position``, and how many turns it had before."""
        period, offset = divmod(position, len(self._pattern))
        dataset = self._pattern[offset]
        return dataset, period * self.turns[dataset] + self._rank[offset]


class Mix:
    """An endless stream of samples with random access; safe to read from several threads."""

    def __init__(self, datasets: Sequence[MixedDataset], weights: Sequence[float], seed: int) -> None:
        self.datasets = tuple(datasets)
        self.interleave = Interleave(weights)
        self.seed = seed
        self.fingerprint = digest_of(
            {
                "datasets": [dataset.fingerprint for dataset in datasets],
                "turns": self.interleave.turns,
                "seed": seed,
            }
        )
        self._readers: dict[tuple[int, int], ShardReader] = {}
        self._lock = threading.Lock()
        self._order = lru_cache(maxsize=2 * len(self.datasets))(self._draw_order)

    @classmethod
    def open(cls, entries: Sequence[MixEntry], seed: int) -> Mix:
        """Open the datasets of ``entries``, and select from the pseudo ones.

        ValueError where a folder is no dataset, has no committed shard, or nothing of it is left after selection.
        """
        if not entries:
            raise ValueError("a mix needs at least one dataset; give `mix` a list of entries")
        datasets = [_open_dataset(number, entry) for number, entry in enumerate(entries)]
        return cls(datasets, [entry.weight for entry in entries], seed)

    def sample_ref(self, position: int) -> SampleRef:
        """Which sample stands at ``position`` (0 or more) of the stream."""
        number, turn = self.interleave.turn(position)
        refs = self.datasets[number].refs
        passes, place = divmod(turn, len(refs))
        return refs[int(self._order(number, passes)[place])]

    def load(self, ref: SampleRef) -> MixSample:
        """Read a sample from its shard, and select from it where it is a pseudo one."""
        dataset = self.datasets[ref.dataset]
        with self._lock:
            sample = self._reader(ref)[ref.row]
        return MixSample(_selected(sample.labels, dataset.selection), sample.image, dataset.card)

    def labels(self, ref: SampleRef) -> SampleLabels:
        """The labels of a sample as stored, without reading its picture."""
        with self._lock:
            return self._reader(ref).labels(ref.row)

    def share(self, number: int) -> float:
        """Share of the stream that dataset ``number`` has."""
        return self.interleave.turns[number] / sum(self.interleave.turns)

    def table(self) -> str:
        """The mix as text: a line for each dataset with its samples, phrases, boxes and share."""
        lines = [f"{'dataset':<24} {'samples':>9} {'phrases':>9} {'boxes':>9} {'skipped':>9} {'share':>7}"]
        for number, dataset in enumerate(self.datasets):
            lines.append(
                f"{dataset.name:<24} {len(dataset.refs):>9,} {dataset.phrases:>9,} {dataset.boxes:>9,} "
                f"{dataset.skipped:>9,} {self.share(number):>7.1%}"
            )
        return "\n".join(lines)

    def close(self) -> None:
        """Close the shards that are open."""
        with self._lock:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()

    def _draw_order(self, number: int, passes: int) -> IntArray:
        random = np.random.default_rng([self.seed, number, passes])
        return random.permutation(len(self.datasets[number].refs)).astype(np.int64)

    def _reader(self, ref: SampleRef) -> ShardReader:
        key = (ref.dataset, ref.unit)
        reader = self._readers.pop(key, None) or ShardReader(self.datasets[ref.dataset].store, ref.unit)
        self._readers[key] = reader  # put last: the first is the one unused for longest
        if len(self._readers) > MAX_OPEN_SHARDS:
            self._readers.pop(next(iter(self._readers))).close()
        return reader


def _turns_per_period(weights: Sequence[float]) -> list[int]:
    """The smallest whole numbers in the ratio of the weights; to a ten-thousandth where that ratio is not that simple.

    A dataset has at least one turn, however small its weight.
    """
    if any(not weight > 0 for weight in weights):
        raise ValueError(f"weights of a mix are above 0; these came: {list(weights)}")
    exact = [Fraction(weight).limit_denominator(MAX_PERIOD) for weight in weights]
    scale = lcm(*(share.denominator for share in exact))
    whole = [int(share * scale) for share in exact]
    turns = [count // gcd(*whole) for count in whole]
    if min(turns) > 0 and sum(turns) <= MAX_PERIOD:
        return turns
    return _largest_remainder(weights, MAX_PERIOD)


def _largest_remainder(weights: Sequence[float], total: int) -> list[int]:
    quotas = [weight / sum(weights) * total for weight in weights]
    turns = [max(1, int(quota)) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda i: int(quotas[i]) - quotas[i])
    for i in by_remainder[: max(0, total - sum(turns))]:
        turns[i] += 1
    return turns


def _open_dataset(number: int, entry: MixEntry) -> MixedDataset:
    store = Store(entry.dataset)
    card = read_card(store)
    manifests = [manifest for unit in committed_units(store) if (manifest := read_manifest(store, unit)) is not None]
    selection = resolve_selection(entry.selection or card.selection) if card.origin == "pseudo" else None
    rules = None if selection is None else selection.identity()
    duplicates = Duplicates() if selection is None else read_duplicates(store, manifests)
    views = {"preset": rules} | ({} if duplicates.digest is None else {"duplicates": duplicates.digest})
    fingerprint = digest_of({"files": [_digests(manifest) for manifest in manifests], **views})
    parts = [_rows(number, store, manifest, selection, duplicates.of(manifest.unit)) for manifest in manifests]
    refs = tuple(ref for part in parts for ref in part.refs)
    samples = sum(manifest.samples for manifest in manifests)
    if not refs:
        raise ValueError(
            f"dataset {entry.dataset} has no sample to learn from ({samples} in {len(manifests)} shards, selection "
            f"{entry.selection or card.selection!r}); choose another selection or take it out of the mix"
        )
    return MixedDataset(
        name=store.root.rsplit("/", 1)[-1],
        store=store,
        card=card,
        selection=selection,
        refs=refs,
        phrases=sum(part.phrases for part in parts),
        boxes=sum(part.boxes for part in parts),
        skipped=samples - len(refs),
        fingerprint=fingerprint,
    )


def _digests(manifest: ShardManifest) -> list[str]:
    return [file.sha256 for file in manifest.files if file.path.startswith("shards/")]


@dataclass(frozen=True, slots=True)
class _Rows:
    refs: list[SampleRef]
    phrases: int
    boxes: int


def _rows(
    number: int, store: Store, manifest: ShardManifest, selection: Selection | None, left_out: frozenset[int]
) -> _Rows:
    """What can be drawn from one shard, without the duplicates ``left_out``. Human shards are taken whole, without
    opening them."""
    every = [SampleRef(number, manifest.unit, row) for row in range(manifest.samples) if row not in left_out]
    if selection is None:
        return _Rows(every, manifest.phrases, manifest.boxes)
    reader = ShardReader(store, manifest.unit)
    try:
        selected = [_selected(reader.labels(ref.row), selection) for ref in every]
    finally:
        reader.close()
    kept = [(ref, labels) for ref, labels in zip(every, selected, strict=True) if labels.boxes]
    return _Rows(
        [ref for ref, _ in kept],
        sum(len({box.phrase for box in labels.boxes}) for _, labels in kept),
        sum(len(labels.boxes) for _, labels in kept),
    )


def _selected(labels: SampleLabels, selection: Selection | None) -> SampleLabels:
    return labels if selection is None else select(labels, selection)
