"""The registry: versions are immutable, one pointer moves, damage is found and there is a way back from it."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import Store
from engine.compare_and_swap import create, read_found, swap
from engine.registry import Registry
from engine.registry.rollback import roll_back
from engine.registry.state import CURRENT, entry_name
from schemas.registry import Entry, ModelVersion

ROOT = Path(__file__).parents[2]


def add(registry: Registry, name: str) -> Entry:
    """Promote a model of a few bytes."""
    state = registry.state()
    replaces = state.entry.version if state.entry else None
    version = registry.write_version(files(name), replaces, model_digest=digest(name))
    return registry.move(state, version, "promote", f"{name} is better")


def files(name: str) -> dict[str, Path | bytes]:
    return {"model.safetensors": name.encode() * 1000, "config.json": b"{}"}


def digest(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


@pytest.fixture(params=["folder", "s3"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    uri = tmp_path / "registry" if request.param == "folder" else f"{request.getfixturevalue('s3_bucket')}/registry"
    return Registry(uri)


@pytest.fixture
def three(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "registry")
    for name in ("one", "two", "three"):
        add(registry, name)
    return registry


def current(registry: Registry) -> int | None:
    entry = registry.state().current()
    return None if entry is None else entry.version


def test_versions_are_promoted_read_back_and_rolled_back(registry: Registry, tmp_path: Path) -> None:
    assert current(registry) is None
    assert registry.numbers() == []
    add(registry, "one")
    add(registry, "two")

    assert current(registry) == 2
    version = registry.fetch(2, tmp_path / "copy")
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == b"two" * 1000
    assert (version.replaces, version.model_digest) == (1, digest("two"))
    assert registry.read(1, "config.json") == b"{}"
    assert registry.read(1, "no such file") is None
    entry, passed_over = roll_back(registry, reason="it was worse")
    assert (entry.version, entry.reason, passed_over) == (1, "it was worse", [])
    assert current(registry) == 1
    state = registry.state()
    assert [(one.number, one.action, one.version) for one in state.entries] == [
        (1, "promote", 1),
        (2, "promote", 2),
        (3, "rollback", 1),
    ]
    assert state.problems == ()
    assert registry.store.names("history") == ["000001.json", "000002.json", "000003.json"]


def test_a_rollback_leads_to_what_was_replaced_not_to_the_number_before(three: Registry) -> None:
    roll_back(three, 1)
    add(three, "four")
    assert roll_back(three)[0].version == 1
    with pytest.raises(ValueError, match=r"no version to go back to.*whole versions: 1, 2, 3, 4"):
        roll_back(three)
    with pytest.raises(ValueError, match=r"version 1 of .* is current already"):
        roll_back(three, 1)
    with pytest.raises(ValueError, match=r"there is no version 9 \(there are: 1, 2, 3, 4\)"):
        roll_back(three, 9)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flipped", "missing", "short", "long"])
def test_a_damaged_file_is_refused_and_a_rollback_leads_to_the_last_whole_version(
    three: Registry, tmp_path: Path, name: str, damage: str
) -> None:
    for number in (2, 3):
        path = Path(three.uri) / f"versions/{number:06d}" / name
        content = path.read_bytes()
        middle = len(content) // 2
        path.unlink()
        if damage != "missing":
            flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            path.write_bytes({"flipped": flipped, "short": content[:-1], "long": content + b" "}[damage])

    with pytest.raises(ValueError, match=f"versions/000003/{name} is (damaged|missing).*glip-engine rollback"):
        three.fetch(3, tmp_path / "copy")
    entry, passed_over = roll_back(three)
    assert entry.version == current(three) == 1
    assert len(passed_over) == 1
    assert "version 2 is passed over" in passed_over[0]
    with pytest.raises(ValueError, match="no version to go back to"):
        roll_back(three, 3)
    assert current(three) == 1


def spoil_pointer(path: Path) -> None:
    text = path.read_text()
    path.write_text(text.replace('"version": 3', '"version": 2'))
    assert path.read_text() != text


def point_to_nothing(path: Path) -> None:
    for file in (path.parent / "versions" / "000003").iterdir():
        file.unlink()
    (path.parent / "versions" / "000003").rmdir()


@pytest.mark.parametrize(
    ("damage", "expected", "back_to"),
    [
        (spoil_pointer, "current.json is damaged", 3),
        (lambda path: path.write_bytes(b""), "current.json is damaged", 3),
        (lambda path: path.write_bytes(b"[" * 10_000), "current.json is damaged", 3),
        (lambda path: path.write_bytes(b" " * 2_000_000), "current.json is damaged", 3),
        (lambda path: path.unlink(), "current.json is missing, though the history has 3", 3),
        (lambda path: path.write_bytes((path.parent / entry_name(1)).read_bytes()), "goes on to 3", 3),
        (point_to_nothing, "leads to nothing", 2),
    ],
    ids=["flipped", "empty", "bomb", "huge", "missing", "put back", "to nothing"],
)
def test_a_damaged_pointer_is_refused_and_a_rollback_mends_it(
    three: Registry, damage: Callable[[Path], None], expected: str, back_to: int
) -> None:
    damage(Path(three.uri) / CURRENT)
    with pytest.raises(ValueError, match=f"{expected}.*glip-engine rollback"):
        three.version(current(three) or 0)
    assert roll_back(three)[0].version == back_to
    assert current(three) == back_to
    three.check(back_to)
    add(three, "four")
    assert current(three) == 4


def test_a_registry_without_pointer_and_history_is_mended_from_its_versions(three: Registry) -> None:
    (Path(three.uri) / CURRENT).unlink()
    for file in (Path(three.uri) / "history").iterdir():
        file.unlink()
    assert roll_back(three)[0].version == 3


def test_a_changed_or_missing_entry_of_the_history_is_told_and_does_not_stop_the_way_back(three: Registry) -> None:
    second = Path(three.uri) / entry_name(2)
    second.write_text(second.read_text().replace("two is better", "two is worse!"))
    assert any("000002.json is damaged" in problem for problem in three.state().problems)
    second.unlink()
    assert any("000002.json is missing" in problem for problem in three.state().problems)
    assert current(three) == 3
    assert roll_back(three)[0].version == 2
    assert roll_back(three)[0].version == 1
    assert [entry.number for entry in three.state().entries] == [1, 3, 4, 5]


def test_what_a_killed_promotion_left_is_no_version_and_the_next_one_takes_it_up(three: Registry) -> None:
    half = three.store
    assert create(half, "versions/000004/claim.json", b'{"token": "of a dead process"}')
    half.write("versions/000004/model.safetensors", b"half")
    with pytest.raises(ValueError, match=r"manifest\.json is missing: the version is half-written"):
        three.version(4)
    with pytest.raises(ValueError, match=r"version 4 of .* never was current"):
        roll_back(three, 4)
    whole = three.write_version(files("five"), 3, model_digest=digest("five"))
    assert whole.version == 5
    with pytest.raises(ValueError, match=r"version 5 of .* never was current"):
        roll_back(three, 5)
    assert three.write_version(files("five"), 3, model_digest=digest("five")) == whole
    assert add(three, "five").version == 5


def test_an_entry_that_a_killed_process_did_not_write_is_added_by_the_next_move(three: Registry) -> None:
    (Path(three.uri) / entry_name(3)).unlink()  # as if it had died after the pointer moved
    assert three.state().problems == ()
    assert [entry.number for entry in three.state().entries] == [1, 2, 3]
    roll_back(three)
    assert three.store.names("history") == [f"00000{number}.json" for number in (1, 2, 3, 4)]
    assert three.state().problems == ()


def test_a_manifest_cannot_lead_out_of_its_version() -> None:
    for name in ("../x", "/etc/passwd", "a/b", ".hidden", ""):
        with pytest.raises(ValueError, match="name"):
            ModelVersion.model_validate(
                {"version": 1, "model_digest": "0" * 64, "files": [{"name": name, "sha256": "0" * 64, "size": 1}]}
            )


def test_who_reads_the_pointer_before_another_moves_it_does_not_move_it(registry: Registry) -> None:
    add(registry, "one")
    seen = registry.state()
    slow = registry.write_version(files("slow"), 1, model_digest=digest("slow"))
    add(registry, "fast")
    with pytest.raises(ValueError, match=r"another process was faster \(promote to version 3"):
        registry.move(seen, slow, "promote", "decided against version 1")
    assert current(registry) == 3
    assert [entry.version for entry in registry.state().entries] == [1, 3]


def test_a_file_is_swapped_only_where_it_is_what_it_was(registry: Registry) -> None:
    store = registry.store
    assert create(store, "a.json", b"1")
    assert not create(store, "a.json", b"2")
    first = read_found(store, "a.json")
    assert swap(store, "a.json", first, b"3")
    assert not swap(store, "a.json", first, b"4")
    assert store.read("a.json") == b"3"


def test_a_store_without_conditional_puts_swaps_under_its_lock(tmp_path: Path) -> None:
    registry = Registry(f"memory://{tmp_path.name}")
    add(registry, "one")
    seen = registry.state()
    add(registry, "two")
    with pytest.raises(ValueError, match="another process was faster"):
        registry.move(seen, registry.version(1), "rollback", "late")
    assert current(registry) == 2


# ------------------------------------------------------------------------------------------------ many at once

PROMOTE = """
import sys
from engine.registry import Registry
registry = Registry(sys.argv[1])
state = registry.state()
version = registry.write_version({"model.safetensors": sys.argv[2].encode()}, 1, model_digest=sys.argv[2] * 64)
print("ready", flush=True)
sys.stdin.readline()
try:
    print("won", registry.move(state, version, "promote", sys.argv[2]).version)
except ValueError as error:
    print("told", error)
"""


def test_of_promotions_at_once_one_wins_and_the_others_are_told(registry: Registry) -> None:
    add(registry, "one")
    commands = [[sys.executable, "-c", PROMOTE, registry.uri, name] for name in "abc"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    processes = [subprocess.Popen(command, **pipes) for command in commands]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all have seen version 1 as current
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]

    winners = [answer for answer in answers if answer.startswith("won")]
    assert len(winners) == 1, answers
    assert sum("another process was faster" in answer for answer in answers) == 2, answers
    assert f"won {current(registry)}" == winners[0]
    state = registry.state()
    assert [entry.number for entry in state.entries] == [1, 2]
    assert state.problems == ()
    assert registry.numbers() == [1, 2, 3, 4]
    for number in registry.numbers():
        registry.check(number)


def promote_without_end(uri: str, seed: int) -> None:
    for number in range(1000):
        add(Registry(uri), f"{seed}-{number}")


def test_a_promotion_killed_at_any_moment_leaves_a_registry_that_is_whole(tmp_path: Path) -> None:
    registry, chance = Registry(tmp_path), random.Random(0)
    context = multiprocessing.get_context("fork")
    for seed in range(20):
        before = registry.state().last_number
        process = context.Process(target=promote_without_end, args=(registry.uri, seed))
        process.start()
        while registry.state().last_number == before:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.join()
        state = registry.state()
        assert state.problems == ()
        now = state.current()
        assert now is not None
        registry.check(now.version)
    add(registry, "last")
    assert current(registry) == registry.numbers()[-1]
    assert [entry.number for entry in registry.state().entries] == [*range(1, registry.state().last_number + 1)]


def count_up(root: str, times: int, done: Any) -> None:
    store, moved = Store(root), 0
    while moved < times:
        found = read_found(store, "count.json")
        assert found is not None
        now = json.loads(found.content)
        moved += swap(store, "count.json", found, json.dumps({"count": now["count"] + 1, "by": os.getpid()}).encode())
    done.put(moved)


def test_no_move_of_many_processes_is_lost(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("count.json", b'{"count": 0}')
    context = multiprocessing.get_context("fork")
    done = context.Queue()
    workers = [context.Process(target=count_up, args=(str(tmp_path), 20, done)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert [done.get(timeout=60) for _ in workers] == [20] * 4
    for worker in workers:
        worker.join()
    assert json.loads(store.read("count.json"))["count"] == 80
