"""Which unit a reader is given: each once, and of one file as long as there are any, so that few readers fetch it."""

from __future__ import annotations

import random

from engine.running.unit_queue import UnitQueue
from schemas.records import UnitRef


def refs(*units_of_files: int) -> list[UnitRef]:
    files = [(f"{file}.tar", 10 * row) for file, units in enumerate(units_of_files) for row in range(units)]
    return [UnitRef(number, uri, first_row, 10) for number, (uri, first_row) in enumerate(files)]


def taken(queue: UnitQueue, reader: str) -> UnitRef:
    return queue.take(reader)[0]


def test_one_reader_is_given_all_units_in_their_order() -> None:
    queue, wanted = UnitQueue(refs(3, 1, 2)), refs(3, 1, 2)
    assert [taken(queue, "a") for _ in wanted] == wanted
    assert not queue


def test_readers_stay_with_their_files_and_help_with_the_longest_at_the_end() -> None:
    queue = UnitQueue(refs(2, 5, 1))
    assert [taken(queue, reader).uri for reader in "abcabcab"] == [
        *("0.tar", "1.tar", "2.tar", "0.tar", "1.tar", "1.tar"),
        *("1.tar", "1.tar"),
    ]
    assert not queue


def test_every_unit_is_given_once_and_a_file_of_many_to_few_readers() -> None:
    draw, wanted = random.Random(0), refs(*[20] * 40)
    queue, given, readers_of = UnitQueue(wanted), [], dict[str, set[str]]()
    while queue:
        reader = draw.choice("abcdefgh")
        given.append(taken(queue, reader))
        readers_of.setdefault(given[-1].uri, set()).add(reader)
    assert sorted(given, key=lambda ref: ref.index) == wanted
    assert sum(map(len, readers_of.values())) < 2 * 40, "not 8 * 40"


def test_a_unit_that_is_put_back_is_the_next_of_its_file_and_nobody_is_given_what_was_cleared() -> None:
    queue = UnitQueue(refs(2))
    first, second = taken(queue, "a"), taken(queue, "a")
    assert not queue
    queue.put_back(second, 1)
    queue.put_back(first, 1)
    assert [queue.take("b"), queue.take("a")] == [(first, 1), (second, 1)]
    queue.put_back(first, 2)
    queue.clear()
    assert not queue
