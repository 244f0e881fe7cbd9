"""The cores that a process may use are those it is bound to, and not more than its container's share of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.running import cores
from engine.running.cores import usable_cores

EIGHT = set(range(8))


@pytest.fixture(autouse=True)
def machine_of_eight_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: EIGHT, raising=False)
    monkeypatch.setattr(cores, "OWN_GROUP", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "GROUPS", tmp_path / "groups")


@pytest.mark.parametrize(
    ("group", "limit", "wanted"),
    [
        ("0::/", "400000 100000", 4),
        ("0::/", "150000 100000", 2),
        ("0::/", "1000 100000", 1),
        ("0::/", "6400000 100000", 8),
        ("0::/", "max 100000", 8),
        ("0::/system.slice/retrain.service", "200000 100000", 2),
        ("4:memory:/x\n1:cpu,cpuacct:/x\n0::/user", "200000 100000", 2),
        ("0::/", "", 8),
    ],
)
def test_a_limit_of_time_counts_in_whole_cores(group: str, limit: str, wanted: int, tmp_path: Path) -> None:
    folder = tmp_path / "groups" / group.rpartition("::/")[2]
    folder.mkdir(parents=True)
    (tmp_path / "cgroup").write_text(group + "\n")
    (folder / "cpu.max").write_text(limit + "\n")
    assert usable_cores() == wanted


@pytest.mark.parametrize(
    ("around", "limits", "wanted"),
    [
        ("a", {"a": "300000 100000", "a/b/c": "max 100000"}, 3),
        ("the topmost", {"": "300000 100000", "a/b/c": "max 100000"}, 3),
        ("both, the smaller counts", {"a": "300000 100000", "a/b": "500000 100000"}, 3),
        ("both, the smaller counts", {"a": "500000 100000", "a/b": "300000 100000"}, 3),
        ("beside", {"a/other": "300000 100000"}, 8),
        ("a container's own, which sees no folder of its name", {"": "300000 100000"}, 3),
    ],
)
def test_the_limit_of_a_group_around_counts(around: str, limits: dict[str, str], wanted: int, tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/a/b/c\n")
    for group, limit in limits.items():
        _write(tmp_path / "groups" / group, {"cpu.max": limit})
    assert usable_cores() == wanted


@pytest.mark.parametrize(
    ("group", "quota", "wanted"),
    [("", 300000, 3), ("docker/x", 300000, 3), ("docker/x", 50000, 1), ("docker", 300000, 3), ("docker/x", -1, 8)],
)
def test_older_systems_say_it_in_two_files(group: str, quota: int, wanted: int, tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("4:memory:/y\n1:cpu,cpuacct:/docker/x\n0::/\n")
    for folder, told in (("", -1), (group, quota)):
        files = {"cpu.cfs_quota_us": str(told), "cpu.cfs_period_us": "100000"}
        _write(tmp_path / "groups" / "cpu" / folder, files)
    assert usable_cores() == wanted


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content + "\n")


@pytest.mark.parametrize("group", ["", "4:memory:/x\n", "0::/elsewhere\n", "\n"])
def test_without_such_a_limit_they_are_those_it_is_bound_to(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup").write_text(group)
    assert usable_cores() == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5}, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert usable_cores() == 1


def test_where_no_process_can_be_bound_they_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == 8
