"""The order of a mix: exactly as often as stated, evenly, from the position alone, in little memory."""

from __future__ import annotations

import threading
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mix.datasets import interleave_of
from engine.mix.order import Interleave, Passes
from engine.mix.samples import SampleRef, SampleRefs, UnitRows
from schemas.recipes import MixEntry, MixSampling


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_turns_come_in_the_order_in_which_they_are_due(turns: list[int]) -> None:
    """Computed one by one from the position, they are those of a list sorted by due time."""
    interleave = Interleave(turns)
    due = sorted((Fraction(2 * k + 1, 2 * n), i, k) for i, n in enumerate(interleave.turns) for k in range(n))
    assert [interleave.turn(position) for position in range(interleave.period)] == [(i, k) for _, i, k in due]


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=6), st.integers(0, 10**12))
def test_shares_of_tens_of_millions_are_exact_at_any_position(turns: list[int], position: int) -> None:
    interleave = Interleave(turns)
    dataset, before = interleave.turn(position)
    assert abs(before - Fraction(position * interleave.turns[dataset], interleave.period)) <= len(turns)
    here = interleave.turn(position + interleave.period)
    assert here == (dataset, before + interleave.turns[dataset])


def test_weights_are_taken_by_their_decimals() -> None:
    assert Interleave([0.1, 0.2]).turns == [1, 2]
    assert Interleave([0.3333, 0.6667]).turns == [3333, 6667]
    assert Interleave([1e-6, 1]).turns == [1, 10**6]


def test_by_size_a_dataset_of_one_sample_among_millions_still_has_its_turn() -> None:
    entries = [MixEntry(dataset=name) for name in "ab"]
    passes = [Passes(samples, 0, number) for number, samples in enumerate((5_000_000, 1))]
    assert interleave_of(entries, passes, MixSampling(temperature=1)).turns[1] == 1


def test_by_size_shares_are_ten_thousandths_and_what_is_left_goes_to_the_largest_remainders() -> None:
    """Sevenths: 1428.57, 1428.57 and 7142.86."""
    entries = [MixEntry(dataset=name) for name in "abc"]
    passes = [Passes(samples, 0, number) for number, samples in enumerate((1, 1, 5))]
    by_size = MixSampling(temperature=1)
    assert interleave_of(entries, passes, by_size).turns == [1429, 1428, 7143]
    assert interleave_of(entries[:2], passes[:2], by_size).turns == [1, 1], "where nothing is left nobody has more"


@given(st.lists(st.integers(4, 30), min_size=1, max_size=40), st.integers(0, 2**31))
def test_four_passes_see_each_sample_as_often_as_its_repeats_say_and_one_a_quarter_of_that(
    repeats: list[int], seed: int
) -> None:
    passes = Passes(len(repeats), seed, 0, np.array(repeats, dtype=np.uint16))
    assert passes.length == Fraction(sum(repeats), 4)
    for start in (0, 3):
        seen = Counter(passes.sample(turn) for turn in range(start * sum(repeats), (start + 1) * sum(repeats)))
        assert [seen[number] for number in range(len(repeats))] == repeats
    each = [Counter[int]() for _ in range(4)]
    turn = 0
    for number, length in enumerate(passes._lengths):
        each[number].update(passes.sample(turn + place) for place in range(length))
        turn += length
    assert all(abs(Fraction(wanted, 4) - seen[number]) < 1 for seen in each for number, wanted in enumerate(repeats))


@given(st.integers(1, 50), st.integers(0, 2**31))
def test_without_repeats_a_pass_is_every_sample_once_in_an_order_of_its_own(samples: int, seed: int) -> None:
    passes = Passes(samples, seed, 1)
    orders = [[passes.sample(turn) for turn in range(n * samples, (n + 1) * samples)] for n in range(3)]
    assert all(sorted(order) == list(range(samples)) for order in orders)
    assert samples < 9 or orders[0] != orders[1]


@given(st.integers(1, 20), st.data())
def test_the_order_depends_on_seed_and_dataset_and_not_on_what_was_asked_before(
    samples: int, data: st.DataObject
) -> None:
    turns = data.draw(st.lists(st.integers(0, 200), max_size=20))
    one, other = Passes(samples, 3, 0), Passes(samples, 3, 0)
    assert [one.sample(turn) for turn in turns] == [other.sample(turn) for turn in reversed(turns)][::-1]
    orders = {tuple(map(Passes(30, seed, number).sample, range(30))) for seed in (3, 4) for number in (0, 1)}
    assert len(orders) == 4


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=6))
def test_compact_samples_are_those_of_a_plain_list(shards: list[tuple[int, bool]]) -> None:
    units, plain = [], []
    for unit, (count, whole) in enumerate(shards):
        rows = list(range(count)) if whole else [2 * row + 1 for row in range(count)]
        units.append(UnitRows(10 * unit, count, None if whole else np.array(rows, dtype=np.int32)))
        plain += [SampleRef(3, 10 * unit, row) for row in rows]
    refs = SampleRefs(3, units)
    assert len(refs) == len(plain)
    assert list(refs) == plain
    assert [refs[-1 - number] for number in range(len(plain))] == plain[::-1]
    with pytest.raises(IndexError):
        refs[len(plain)]


def test_a_selected_sample_costs_four_bytes_and_a_whole_shard_next_to_nothing() -> None:
    rows = np.arange(1000, dtype=np.int32)
    selected = SampleRefs(0, [UnitRows(unit, 1000, rows) for unit in range(100)])
    assert selected.nbytes < 4.1 * len(selected)
    assert SampleRefs(0, [UnitRows(unit, 1000) for unit in range(100)]).nbytes < 0.1 * len(selected)


def test_threads_that_begin_a_pass_together_draw_its_order_once() -> None:
    """Of a mix of tens of millions every other order drawn takes hundreds of megabytes."""
    threads, samples = 8, 500_000
    together, passes = threading.Barrier(threads), Passes(samples, 0, 0)

    def ask(turn: int) -> int:
        together.wait()
        return passes.sample(turn)

    with ThreadPoolExecutor(threads) as pool:
        tracemalloc.start()
        drawn = list(pool.map(ask, range(threads)))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert drawn == [Passes(samples, 0, 0).sample(turn) for turn in range(threads)]
    assert peak < 30 * samples  # an order takes 16 bytes a sample while it is drawn


@pytest.mark.slow
def test_twenty_four_million_samples_fit_into_half_a_gigabyte() -> None:
    samples = 24_000_000
    tracemalloc.start()
    refs = SampleRefs(0, [UnitRows(unit, 1000, np.arange(1000, dtype=np.int32)) for unit in range(samples // 1000)])
    passes = Passes(len(refs), 0, 0)
    assert refs[passes.sample(samples + 5)].unit < samples // 1000
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 0.25 * 2**30
    assert peak < 0.5 * 2**30
