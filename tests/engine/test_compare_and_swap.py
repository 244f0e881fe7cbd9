"""A small file that many processes move: replaced only where it is what was read, and no move is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import Store
from engine.registry import Registry
from engine.storage import compare_and_swap
from engine.storage.compare_and_swap import create, read_found, swap


def test_a_file_is_swapped_only_where_it_is_what_it_was(registry: Registry) -> None:
    store = registry.store
    assert create(store, "a.json", b"1")
    assert not create(store, "a.json", b"2")
    first = read_found(store, "a.json")
    assert swap(store, "a.json", first, b"3")
    assert not swap(store, "a.json", first, b"4")
    assert store.read("a.json") == b"3"


def test_a_put_whose_answer_was_lost_is_in_and_one_that_was_overtaken_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(f"memory://{tmp_path.name}")
    put = store._files.pipe_file
    kept: list[bytes] = []

    def put_without_answer(path: str, content: bytes, **condition: Any) -> None:
        put(path, kept.pop() if kept else content, **condition)
        raise OSError("connection reset")

    monkeypatch.setattr(store._files, "pipe_file", put_without_answer)
    assert create(store, "mine.json", b"mine")
    kept.append(b"another's")
    assert not create(store, "theirs.json", b"mine")
    assert store.read("theirs.json") == b"another's"


def test_a_put_is_tried_four_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, pauses = Store(f"memory://{tmp_path.name}"), list[float]()
    put = store._files.pipe_file

    def refused_three_times(path: str, content: bytes, **condition: Any) -> None:
        if len(pauses) < 3:
            raise OSError("conflict: another put at the same moment")
        put(path, content, **condition)

    monkeypatch.setattr(store._files, "pipe_file", refused_three_times)
    monkeypatch.setattr(compare_and_swap.time, "sleep", pauses.append)
    assert create(store, "a.json", b"1")
    assert pauses == sorted(pauses)
    assert store.read("a.json") == b"1"


def test_who_has_waited_long_for_the_lock_asks_as_often_as_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, pauses = ExitStack(), list[float]()
    holder.enter_context(Store(tmp_path).locked())

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 40:
            holder.close()

    monkeypatch.setattr(compare_and_swap.time, "sleep", sleep)
    assert create(Store(tmp_path), "a.json", b"1")
    assert len(pauses) == 40
    assert max(pauses) <= 0.1


def count_up(root: str, times: int, done: Any) -> None:
    store, moved = Store(root), 0
    while moved < times:
        found = read_found(store, "count.json")
        assert found is not None
        now = json.loads(found.content)
        moved += swap(store, "count.json", found, json.dumps({"count": now["count"] + 1, "by": os.getpid()}).encode())
        time.sleep(0.005)  # who moves in a tight loop leaves the lock to nobody
    done.put(moved)


def test_no_move_of_many_processes_is_lost(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("count.json", b'{"count": 0}')
    context = multiprocessing.get_context("fork")
    done = context.Queue()
    workers = [context.Process(target=count_up, args=(str(tmp_path), 20, done)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert [done.get(timeout=300) for _ in workers] == [20] * 4
    for worker in workers:
        worker.join()
    assert json.loads(store.read("count.json"))["count"] == 80
