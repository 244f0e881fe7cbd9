"""A mix that other processes get, as the workers of a PyTorch DataLoader do, gives them what it gives its own."""

from __future__ import annotations

import multiprocessing
import pickle
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sample_labels import labels_of, write_units

from engine.artifacts import Store
from engine.mix import Mix
from engine.shards import LabelledImage
from schemas.recipes import MixEntry, MixSampling

SAMPLES, WORKERS, POSITIONS = 16, 2, 600


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """Two units; a picture is larger than what is read ahead, and says whose it is."""
    store = Store(tmp_path / "dataset")
    write_units(store, [[_sample(f"{unit}-{row}") for row in range(SAMPLES)] for unit in range(2)], origin="human")
    return store.root


def _sample(key: str) -> LabelledImage:
    return LabelledImage(labels_of("a dog", ["a dog"], [(0, (0, 0, 1, 1), 1.0)], key=key), key.encode() * 20_000, "png")


def _wrong(mix: Mix, positions: range) -> int:
    samples = (mix.load(mix.sample_ref(position)) for position in positions)
    return sum(sample.image != sample.labels.key.encode() * 20_000 for sample in samples)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_workers_read_the_shards_that_were_open_before_without_mixing_them_up(dataset: str) -> None:
    context = multiprocessing.get_context("fork")
    with closing(Mix.open([MixEntry(dataset=dataset)], seed=0)) as mix:
        assert _wrong(mix, range(2 * SAMPLES)) == 0  # now every shard is open
        answers: Any = context.SimpleQueue()
        parts = [range(worker, POSITIONS, WORKERS) for worker in range(WORKERS)]
        workers = [context.Process(target=lambda part=part: answers.put(_wrong(mix, part))) for part in parts]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0, 0]
        assert [answers.get() for _ in workers] == [0, 0]
        assert _wrong(mix, range(2 * SAMPLES)) == 0


def test_a_pickled_mix_gives_the_same_samples(dataset: str) -> None:
    sampling = MixSampling(repeat_threshold=0.9)
    with closing(Mix.open([MixEntry(dataset=dataset)], seed=3, sampling=sampling)) as mix:
        loaded = [mix.load(mix.sample_ref(position)) for position in range(70)]
        with closing(pickle.loads(pickle.dumps(mix))) as copy:
            assert [copy.load(copy.sample_ref(position)) for position in range(70)] == loaded
            assert (copy.fingerprint, copy.table()) == (mix.fingerprint, mix.table())
            assert copy.known_names(loaded[0].labels) == mix.known_names(loaded[0].labels)
