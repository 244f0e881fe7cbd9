"""Human and pseudo shards as one weighted, seeded, fingerprinted stream of samples.

In: dataset folders with weights or copies. Out: for each position 0, 1, 2, … of an endless stream one sample. Which one
is a pure function of the datasets, the weights, the seed and the position (``engine/mix/order.py``), so that any number
of workers can share the positions, and a resumed run continues at the exact sample.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from engine.artifacts import digest_of
from engine.dataset.open_shards import OpenShards
from engine.mix.datasets import MixedDataset, epoch_of, interleave_of, open_datasets
from engine.mix.labels import names_by_picture
from engine.mix.names import NameRelations
from engine.mix.order import Interleave, Passes
from engine.mix.samples import SampleRef
from schemas.recipes import MixEntry, MixSampling
from schemas.shards import DatasetCard, SampleLabels

__all__ = ["Interleave", "Mix", "MixSample", "NameRelations", "SampleRef"]

MAX_OPEN_SHARDS = 512
EVERYTHING_ONCE = MixSampling()


@dataclass(frozen=True, slots=True)
class MixSample:
    """A sample as it is learned from: its labels after selection and review, its picture file, its dataset's card."""

    labels: SampleLabels
    image: bytes
    card: DatasetCard


class Mix:
    """An endless stream of samples with random access. Safe in several threads, in which different shards are read in
    parallel, and in processes that are forked or get it pickled, such as the workers of a ``DataLoader``.

    ``epoch``: the number of samples in which each dataset has had its copies; None where shares are by weight.
    """

    def __init__(
        self,
        datasets: Sequence[MixedDataset],
        passes: Sequence[Passes],
        interleave: Interleave,
        seed: int,
        *,
        epoch: int | None = None,
    ) -> None:
        self.datasets, self.interleave, self.seed, self.epoch = tuple(datasets), interleave, seed, epoch
        self.fingerprint = _fingerprint(datasets, passes, interleave, seed)
        self._passes = tuple(passes)
        self._shards = OpenShards(_open_at_most())

    @classmethod
    def open(cls, entries: Sequence[MixEntry], seed: int, sampling: MixSampling = EVERYTHING_ONCE) -> Mix:
        """Open the datasets of ``entries`` and apply their selections.

        ValueError where there are no entries; where a folder is no dataset, has no committed shard, or nothing of it is
        left after selection; or where weights, copies and temperature contradict each other.
        """
        if not entries:
            raise ValueError("a mix needs at least one dataset; give `mix` a list of entries")
        datasets, passes = open_datasets(entries, sampling, seed)
        interleave = interleave_of(entries, passes, sampling)
        return cls(datasets, passes, interleave, seed, epoch=epoch_of(entries, passes))

    def sample_ref(self, position: int) -> SampleRef:
        """The place of the sample at ``position`` (0 or more) of the stream."""
        number, turn = self.interleave.turn(position)
        return self.datasets[number].refs[self._passes[number].sample(turn)]

    def load(self, ref: SampleRef) -> MixSample:
        """Read a sample from its shard, and apply selection and review to its labels."""
        dataset = self.datasets[ref.dataset]
        with self._shards.reader(dataset.store, ref.unit) as reader:
            sample = reader[ref.row]
        return MixSample(dataset.view.seen(sample.labels)[0], sample.image, dataset.card)

    def labels(self, ref: SampleRef) -> SampleLabels:
        """The labels of a sample as stored, without reading its picture."""
        with self._shards.reader(self.datasets[ref.dataset].store, ref.unit) as reader:
            return reader.labels(ref.row)

    def draw_labels(self, number: int, count: int, random: np.random.Generator) -> list[SampleLabels]:
        """The labels of ``count`` random samples of dataset ``number``, all from the shard of one random sample, since
        opening a shard for each of them would take longer than a step."""
        refs = self.datasets[number].refs
        shard = refs.in_shard_of(int(random.integers(len(refs))))
        return [self.labels(refs[shard[int(place)]]) for place in random.integers(len(shard), size=count)]

    def known_names(self, labels: SampleLabels) -> frozenset[str]:
        """The names that all samples of the mix with the same picture have; empty if no other sample has it."""
        return self._names.get(labels.image_sha256, frozenset())

    @cached_property
    def _names(self) -> Mapping[str, frozenset[str]]:
        return names_by_picture(list({dataset.store.root: dataset.store for dataset in self.datasets}.values()))

    def share(self, number: int) -> float:
        """The share of the stream that comes from dataset ``number``, 0 to 1."""
        return self.interleave.turns[number] / self.interleave.period

    def table(self) -> str:
        """The mix as text: a line for each dataset with its samples, phrases, boxes, share and the mean number of times
        that a pass has each sample; then fingerprint, seed and epoch, and a line for each incomplete dataset."""
        lines = [
            f"{'dataset':<24} {'samples':>11} {'phrases':>12} {'boxes':>12} {'skipped':>9} {'share':>7} {'repeats':>8}"
        ]
        for number, dataset in enumerate(self.datasets):
            repeats = float(self._passes[number].length) / len(dataset.refs)
            lines.append(
                f"{dataset.name:<24} {len(dataset.refs):>11,} {dataset.phrases:>12,} {dataset.boxes:>12,} "
                f"{dataset.skipped:>9,} {self.share(number):>7.1%} {repeats:>8.2f}"
            )
        epoch = "" if self.epoch is None else f"; an epoch is {self.epoch:,} samples"
        parts = [
            f"{dataset.name} is not complete: only what is there so far is learned from"
            for dataset in self.datasets
            if not dataset.card.complete
        ]
        return "\n".join([*lines, f"mix {self.fingerprint[:16]}, seed {self.seed}{epoch}", *parts])

    def close(self) -> None:
        """Close all open shards."""
        self._shards.close()


def _open_at_most() -> int:
    """The limit of open shards: at most half of the files that this process may open, which are 256 on a Mac."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_OPEN_SHARDS if files == resource.RLIM_INFINITY else min(MAX_OPEN_SHARDS, files // 2)


def _fingerprint(datasets: Sequence[MixedDataset], passes: Sequence[Passes], interleave: Interleave, seed: int) -> str:
    """The digest of everything that decides which sample comes at a position."""
    repeats = [None if one.repeats is None else sha256(one.repeats.tobytes()).hexdigest() for one in passes]
    content = {
        "datasets": [dataset.fingerprint for dataset in datasets],
        "turns": interleave.turns,
        "repeats": repeats,
        "seed": seed,
    }
    return digest_of(content)
