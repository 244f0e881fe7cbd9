"""Open shards are read by several threads at once, each shard by one of them, and no more stay open than may."""

from __future__ import annotations

import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sample_labels import labels_of, write_units

from engine.artifacts import Store
from engine.dataset import open_shards, shard_reader
from engine.dataset.open_shards import OpenShards
from engine.dataset.shard_reader import ShardIndex
from engine.mix import Mix, SampleRef
from engine.shards import LabelledImage, ShardReader, write_shard
from schemas.recipes import MixEntry
from schemas.records import UnitRef

UNITS, ROWS, THREADS = 6, 4, 4
WAIT_S = 20.0  # for threads that do come


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Units of four samples, and a last one without any."""
    store = Store(tmp_path / "dataset")
    units = [[_sample(f"{unit}-{row}") for row in range(ROWS)] for unit in range(UNITS)]
    write_units(store, [*units, []], origin="human")
    return store


def _sample(key: str) -> LabelledImage:
    return LabelledImage(labels_of("", [], key=key, size=(1, 1)), key.encode(), "png")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[ShardReader]:
    """The readers that were opened, closed or not."""
    readers: list[ShardReader] = []
    begin = ShardReader.__init__

    def opening(self: ShardReader, store: Store, unit: int, index: ShardIndex | None = None) -> None:
        begin(self, store, unit, index)
        readers.append(self)

    monkeypatch.setattr(ShardReader, "__init__", opening)
    return readers


def _open(readers: list[ShardReader]) -> int:
    return sum(not reader._file.closed for reader in readers)


def test_two_threads_are_inside_reads_of_a_mix_at_the_same_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    mix = Mix.open([MixEntry(dataset=store.root)], seed=0)
    both, read = threading.Barrier(2), ShardReader._bytes

    def met(self: ShardReader, offset: int, size: int) -> bytes:
        both.wait(WAIT_S)  # a BrokenBarrierError where the other one may not come in
        return read(self, offset, size)

    monkeypatch.setattr(ShardReader, "_bytes", met)
    with ThreadPoolExecutor(2) as threads, closing(mix):
        loaded = list(threads.map(mix.load, [SampleRef(0, 1, 2), SampleRef(0, 4, 0)]))
    assert [one.image for one in loaded] == [b"1-2", b"4-0"]


def test_two_shards_are_opened_at_the_same_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    both, opens = threading.Barrier(2), Store.open
    monkeypatch.setattr(Store, "open", lambda self, name: (both.wait(WAIT_S), opens(self, name))[1])
    with closing(OpenShards(8)) as shards, ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda unit: _image(shards, store, unit, 0), (0, 1))) == [b"0-0", b"1-0"]


@pytest.mark.parametrize("limit", [1, 3, 64])
def test_many_threads_get_what_they_ask_for_and_few_shards_stay_open(
    store: Store, opened: list[ShardReader], limit: int
) -> None:
    shards = OpenShards(limit)
    asked = [(unit * 5 % UNITS, row % ROWS) for row in range(40) for unit in range(UNITS)]
    most = []

    def image(place: tuple[int, int]) -> bytes:
        most.append(_open(opened))
        return _image(shards, store, *place)

    with ThreadPoolExecutor(THREADS) as threads:
        assert list(threads.map(image, asked)) == [f"{unit}-{row}".encode() for unit, row in asked]
    assert max(most) <= min(UNITS, limit + THREADS)
    _image(shards, store, 0, 0)
    assert _open(opened) <= limit
    shards.close()
    assert _open(opened) == 0


def test_a_shard_is_opened_once_and_the_one_unused_for_longest_is_closed(
    store: Store, opened: list[ShardReader]
) -> None:
    with closing(OpenShards(2)) as shards:
        for unit in (0, 1, 0, 2, 0, UNITS, UNITS):  # the last is empty, and no less open for that
            with shards.reader(store, unit):
                pass
        assert [reader._file.closed for reader in opened] == [False, True, True, False]


@pytest.mark.parametrize(("samples", "passes"), [(UNITS * ROWS, 1), (2 * ROWS, 3)])
def test_headers_are_read_once_though_shards_are_opened_again_as_far_as_indexes_are_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch, samples: int, passes: int
) -> None:
    read, index_tar = [], shard_reader._index_tar
    monkeypatch.setattr(open_shards, "MAX_INDEXED_SAMPLES", samples)
    monkeypatch.setattr(shard_reader, "_index_tar", lambda file, where: (read.append(where), index_tar(file, where))[1])
    with closing(OpenShards(1)) as shards:
        for row in range(3):
            for unit in range(UNITS):
                assert _image(shards, store, unit, row) == f"{unit}-{row}".encode()
    assert len(read) == passes * UNITS


def test_a_key_is_found_in_a_shard_that_is_opened_by_its_index(store: Store) -> None:
    with ShardReader(store, 1) as reader:
        index = reader.index
    with ShardReader(store, 1, index) as reader:
        assert (reader.row_of("1-2"), reader.row_of("0-2"), reader[2].image) == (2, None, b"1-2")
        assert (len(reader), reader.extension(2), reader.labels(3).key) == (ROWS, "png", "1-3")


def test_a_shard_that_is_not_there_is_told_of_each_time_and_found_once_it_is(store: Store) -> None:
    with closing(OpenShards(2)) as shards:
        for _ in range(2):
            with pytest.raises(ValueError, match=r"unit 9 .* is not committed"):
                _image(shards, store, 9, 0)
        write_shard(store, UnitRef(9, "u", 0, 1), [_sample("9-0")], [], work_digest="w", stages=[])
        assert _image(shards, store, 9, 0) == b"9-0"


def test_a_mix_leaves_half_of_the_files_that_a_process_may_open_to_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = MixEntry(dataset=store.root, weight=1.0)
    for files, opened in ((256, 128), (1024, 512), (10**6, 512), (resource.RLIM_INFINITY, 512), (6, 3)):
        monkeypatch.setattr(resource, "getrlimit", lambda limit, files=files: (files, files))
        with closing(Mix.open([entry], seed=0)) as mix:
            for position in range(UNITS * ROWS):
                mix.load(mix.sample_ref(position))
            assert mix._shards._limit == opened
            assert len(mix._shards._places) <= opened


def _image(shards: OpenShards, store: Store, unit: int, row: int) -> bytes:
    with shards.reader(store, unit) as reader:
        return reader[row].image
