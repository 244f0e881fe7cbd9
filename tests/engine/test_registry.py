"""The registry: versions are immutable, one pointer moves, damage is found and there is a way back from it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from registered_versions import add, current, digest, files_of

from engine.registry import Registry
from engine.registry.rollback import roll_back
from engine.registry.state import CURRENT, entry_name, seal
from engine.storage.compare_and_swap import create
from schemas.registry import ModelVersion


@pytest.fixture
def three(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "registry")
    for name in ("one", "two", "three"):
        add(registry, name)
    return registry


def test_versions_are_promoted_read_back_and_rolled_back(registry: Registry, tmp_path: Path) -> None:
    assert current(registry) is None
    assert (registry.numbers(), registry.state().problems) == ([], ())
    add(registry, "one")
    add(registry, "two")

    assert current(registry) == 2
    version = registry.fetch(2, tmp_path / "copy")
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == b"two" * 1000
    assert (version.replaces, version.model_digest) == (1, digest("two"))
    assert registry.read(1, "README.md") == b"# The model one\n"
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


@pytest.mark.parametrize("name", ["model.safetensors", "README.md", "manifest.json"])
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
        (lambda path: path.write_bytes((path.parent / entry_name(2)).read_bytes()), "goes on to 3", 3),
        (point_to_nothing, "leads to nothing", 2),
    ],
    ids=["flipped", "empty", "bomb", "huge", "missing", "put back", "put back by one", "to nothing"],
)
def test_a_damaged_pointer_is_refused_and_a_rollback_mends_it(
    three: Registry, damage: Callable[[Path], None], expected: str, back_to: int
) -> None:
    damage(Path(three.uri) / CURRENT)
    with pytest.raises(ValueError, match=f"{expected}.*glip-engine rollback"):
        three.version(current(three) or 0)
    for problem in three.state().problems:
        assert re.search(f"{expected}.*glip-engine rollback {three.uri}", problem)
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


@pytest.mark.parametrize("pointer", [True, False])
def test_of_a_registry_without_a_whole_version_nobody_is_sent_in_a_circle(three: Registry, pointer: bool) -> None:
    """A promotion says to roll back, so a rollback cannot say to promote."""
    if not pointer:
        (Path(three.uri) / CURRENT).unlink()
    shutil.rmtree(Path(three.uri) / "versions")
    with pytest.raises(ValueError, match=r"no version to go back to.*put back a copy of the registry, or promote .*"):
        roll_back(three)


def test_a_changed_or_missing_entry_of_the_history_is_told_and_does_not_stop_the_way_back(three: Registry) -> None:
    second = Path(three.uri) / entry_name(2)
    second.write_text(second.read_text().replace("two is better", "two is worse!"))
    assert any("000002.json is damaged: put back a copy" in problem for problem in three.state().problems)
    assert not any("is missing" in problem for problem in three.state().problems)
    second.unlink()
    assert any("000002.json is missing: put back a copy" in problem for problem in three.state().problems)
    assert current(three) == 3
    assert roll_back(three)[0].version == 2
    assert roll_back(three)[0].version == 1
    assert [entry.number for entry in three.state().entries] == [1, 3, 4, 5]


def test_a_history_without_its_first_entry_says_so(three: Registry) -> None:
    (Path(three.uri) / entry_name(1)).unlink()
    (problem,) = three.state().problems
    assert "000001.json is missing: put back a copy" in problem


def test_an_entry_that_was_sealed_anew_is_told_by_the_one_after_it(three: Registry) -> None:
    _, second, _ = three.state().entries
    (Path(three.uri) / entry_name(2)).write_bytes(seal(second.model_copy(update={"reason": "another"})))
    assert three.state().problems == (f"{three.uri}/{entry_name(3)} does not follow on the entry before it",)


def test_what_a_killed_promotion_left_is_no_version_and_the_next_one_takes_it_up(three: Registry) -> None:
    half = three.store
    assert create(half, "versions/000004/claim.json", b'{"token": "of a dead process"}')
    half.write("versions/000004/model.safetensors", b"half")
    with pytest.raises(ValueError, match=r"manifest\.json is missing: the version is half-written"):
        three.version(4)
    with pytest.raises(ValueError, match=r"version 4 of .* never was current"):
        roll_back(three, 4)
    whole = three.write_version(files_of("five"), 3, model_digest=digest("five"))
    assert whole.version == 5
    with pytest.raises(ValueError, match=r"version 5 of .* never was current"):
        roll_back(three, 5)
    assert three.write_version(files_of("five"), 3, model_digest=digest("five")) == whole
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
