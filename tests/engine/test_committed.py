"""What is done already is found in one pass, in a folder and in an object store, and nothing else passes for done."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.artifacts import Store
from engine.dataset.committed import committed_manifests, delete_units_beyond
from engine.shards import committed_units, manifest_name, rejects_name, shard_name, write_shard
from schemas.records import UnitRef

REFS = [UnitRef(number, "0.tar", number, 1) for number in range(6)]


def digest(ref: UnitRef) -> str:
    return f"work {ref.index}"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    root = tmp_path if request.param == "folder" else request.getfixturevalue("s3_bucket") + "/set"
    store = Store(root)
    for ref in REFS[:5]:
        write_shard(store, ref, [], [], work_digest=digest(ref), stages=[])
    return store


def test_units_are_done_whose_manifest_is_of_this_work_and_whose_files_are_whole(store: Store) -> None:
    store.write(manifest_name(1), store.read(manifest_name(1))[:50])
    store.write(shard_name(2), b"cut")
    store.delete(rejects_name(3))
    found = list(committed_manifests(store, REFS, digest))
    assert [manifest and manifest.unit for manifest in found] == [0, None, None, None, 4, None]
    other = list(committed_manifests(store, REFS, lambda ref: "other" if ref.index == 0 else digest(ref)))
    assert [manifest and manifest.unit for manifest in other] == [None, None, None, None, 4, None]


def test_units_beyond_a_count_lose_their_manifests_before_the_files_that_these_vouch_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[str] = []
    monkeypatch.setattr(store, "delete", lambda name, *, lasting: deleted.append(name))
    assert delete_units_beyond(store, 3) == len(deleted) == 8
    assert deleted[:2] == [manifest_name(3), manifest_name(4)]
    assert {name.partition("/")[2][:6] for name in deleted} == {"000003", "000004"}


def test_a_store_that_is_not_there_yet_has_nothing_done(tmp_path: Path) -> None:
    assert list(committed_manifests(Store(tmp_path / "none"), REFS, digest)) == [None] * 6
    assert list(committed_manifests(Store(tmp_path), [], digest)) == []


def test_units_come_in_the_order_of_their_numbers_also_from_the_millionth_on(tmp_path: Path) -> None:
    store, numbers = Store(tmp_path), [100_000, 999_999, 1_000_000]
    for number in numbers:
        store.write(manifest_name(number), b"")
    assert committed_units(store) == numbers
