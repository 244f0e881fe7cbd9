"""The power is cut at any moment: what was said to be done is there, and nothing half-written is taken for whole.

A disk may lose whatever was not fsynced (``power_cuts``). Each state that this leaves is read, and gone on with.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from power_cuts import DiskRecord, State, put
from registered_versions import add, current
from sample_labels import labels_of
from verdict_samples import said

from engine.artifacts import Store
from engine.dataset.committed import committed_manifests, uncommit
from engine.dataset.shard_files import file_sizes
from engine.registry import Registry
from engine.registry.rollback import roll_back
from engine.review.verdicts import append_verdicts, read_verdicts
from engine.shards import CARD, LabelledImage, read_card, write_card, write_shard
from schemas.records import UnitRef
from schemas.shards import DatasetCard

REFS = [UnitRef(number, "0.tar", number, 1) for number in range(2)]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


# ------------------------------------------------------------------------------------------------- what a disk may do


def states(disk: Path, work: Callable[[], object]) -> list[State]:
    with DiskRecord(disk) as record:
        work()
    return list(record.states())


def test_a_file_that_was_not_fsynced_may_be_there_without_its_content_or_not_at_all(disk: Path) -> None:
    def careless() -> None:
        (disk / "new").write_bytes(b"whole")
        os.replace(disk / "new", disk / "a")

    found = states(disk, careless)
    assert all(state in found for state in ({}, {"a": b""}, {"a": b"wh\0\0\0"}, {"a": b"whole"}))


def test_a_name_that_was_not_fsynced_may_be_lost_whatever_came_after_it(disk: Path) -> None:
    (disk / "old").mkdir()
    (disk / "old" / "a").write_bytes(b"1")

    def careless() -> None:
        (disk / "old" / "a").unlink()
        Store(disk).write("b", b"2")

    assert {"old": None, "old/a": b"1", "b": b"2"} in states(disk, careless)


# ---------------------------------------------------------------------------------------------------------- the store


def test_what_is_written_to_last_is_there_in_folders_that_are_new_too(disk: Path) -> None:
    store = Store(disk / "a" / "b")
    store.write("gone", b"")
    with DiskRecord(disk) as record:
        store.write("c/d/e", b"1")
        with Store(disk / "f" / "g").locked():
            pass
        store.delete("gone")
    folders = {"a": None, "a/b": None, "a/b/c": None, "a/b/c/d": None, "f": None, "f/g": None}
    assert list(record.states_at_the_end()) == [{**folders, "a/b/c/d/e": b"1"}]
    assert all(state.get("a/b/c/d/e", b"1") == b"1" for state in record.states())


# ------------------------------------------------------------------------------------------------------------ datasets


def label(store: Store, work: str, score: float) -> None:
    """A labelling job without a teacher: files are of the same size whatever the score."""
    with store.locked():
        card = DatasetCard(origin="pseudo", task="grounding", source_fingerprint="s", recipe_digest="r")
        write_card(store, card)
        done = committed_manifests(store, REFS, lambda ref: work)
        todo = [ref for ref, manifest in zip(REFS, done, strict=True) if manifest is None]
        uncommit(store, [ref.index for ref in todo])
        for ref in todo:
            labels = labels_of("a dog", ["dog"], [(0, (1, 1, 2, 2), score)], key=f"k{ref.index}")
            write_shard(store, ref, [LabelledImage(labels, b"jpeg", "jpg")], [], work_digest=work, stages=[])
        write_card(store, card.model_copy(update={"complete": True, "units": len(REFS)}))


def wrong(store: Store, work: str) -> list[str]:
    """The files of units that a job would take for done, or all of a complete dataset, that are not as it left them."""
    done = [found for found in committed_manifests(store, REFS, lambda ref: work) if found is not None]
    files = [file for manifest in done for file in manifest.files]
    complete = store.exists(CARD) and read_card(store).complete
    return [file.path for file in files if store.digest(file.path)[0] != file.sha256] + [
        CARD for _ in range(complete and len(done) < len(REFS))
    ]


@pytest.mark.parametrize("before", [None, "v"])
def test_what_a_job_takes_for_done_is_whole_and_of_its_own_work(disk: Path, tmp_path: Path, before: str | None) -> None:
    """Also where it does anew what other work has done, in files of the same names and sizes."""
    store = Store(disk / "out")
    if before is not None:
        label(store, before, 0.6)
        sizes = file_sizes(store)
    with DiskRecord(disk) as record:
        label(store, "w", 0.5)
    assert before is None or {**sizes, **file_sizes(store)} == sizes
    seen = 0
    for state in record.states():
        found = Store(put(state, tmp_path / "cut") / "out")
        if not (before and found.exists(CARD) and read_card(found).complete and wrong(found, before) == []):
            assert wrong(found, "w") == []
            seen += 1
    assert seen > 10
    for state in record.states_at_the_end():
        assert wrong(Store(put(state, tmp_path / "cut") / "out"), "w") == []
        assert f"out/{CARD}" in state


# ------------------------------------------------------------------------------------------------ registry and verdicts


@pytest.mark.parametrize("move", ["first", "second", "back"])
def test_a_registry_is_as_before_a_move_or_after_it(disk: Path, tmp_path: Path, move: str) -> None:
    registry = Registry(disk / "models" / "registry")
    for word in {"first": [], "second": ["one"], "back": ["one", "two"]}[move]:
        add(registry, word)

    def make(registry: Registry) -> object:
        return roll_back(registry) if move == "back" else add(registry, "new")

    before = current(registry)
    with DiskRecord(disk) as record:
        make(registry)
    after = current(registry)
    for state in record.states():
        found = Registry(put(state, tmp_path / "cut") / "models" / "registry")
        assert found.state().problems == ()
        assert current(found) in (before, after)
        if current(found) == before:
            make(found)
        number = current(found)
        assert number is not None
        found.check(number)
    for state in record.states_at_the_end():
        assert current(Registry(put(state, tmp_path / "cut") / "models" / "registry")) == after


def test_a_verdict_that_was_saved_is_there(disk: Path, tmp_path: Path) -> None:
    labels = labels_of("a dog", ["dog"], [(0, (1, 1, 2, 2), 0.5)])
    with DiskRecord(disk) as record:
        append_verdicts(Store(disk / "data"), [said(labels, 0, "accepted", (1, 1, 2, 2))])
    for state in record.states():
        assert len(read_verdicts(Store(put(state, tmp_path / "cut") / "data"))) in (0, 1)
    for state in record.states_at_the_end():
        assert len(read_verdicts(Store(put(state, tmp_path / "cut") / "data"))) == 1
