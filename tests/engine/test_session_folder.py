"""The folders of a Ray that is started here: what cannot be its folder is told, or another one is taken."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from ray._common.utils import get_default_system_temp_dir
from ray._private.utils import validate_socket_filepath

from engine.running.session_folder import check_session_folder, folder_of_objects


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, None),
        ({"TMPDIR": "/tmp"}, None),
        ({"TMPDIR": "/scratch/job 7"}, None),
        ({"TMPDIR": "/tmp/" + "x" * 60}, "TMPDIR is '/tmp/xxx"),
        ({"TMPDIR": "/tmp/größe"}, "TMPDIR is '/tmp/größe'.* set RAY_TMPDIR to another folder, such as /tmp"),
        ({"TMPDIR": "/tmp/größe", "RAY_TMPDIR": "/tmp"}, None),
        ({"TMPDIR": "/tmp", "RAY_TMPDIR": "/tmp/猫"}, "RAY_TMPDIR is '/tmp/猫'"),
    ],
)
def test_a_name_that_does_not_fit_is_told_with_what_to_do(
    environment: dict[str, str], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if told is None:
        return check_session_folder()
    with pytest.raises(ValueError, match=told):
        check_session_folder()


def test_on_a_mac_ray_lies_in_tmp_whatever_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/")
    assert get_default_system_temp_dir() == "/tmp"
    check_session_folder()


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_as_many_bytes_are_allowed_as_ray_itself_allows(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", platform)
    session = f"ray/session_2026-11-22_01-55-13_927987_{os.getpid()}/sockets/plasma_store"
    folders = [f"/{'x' * length}" for length in range(20, 60)]
    fits = [len(f"{folder}/{session}") for folder in folders if _passes(folder, monkeypatch)]
    validate_socket_filepath("x" * max(fits))
    with pytest.raises(OSError, match="AF_UNIX path length"):
        validate_socket_filepath("x" * (max(fits) + 1))


def _passes(folder: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("RAY_TMPDIR", folder)
    try:
        check_session_folder()
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("platform", "shared_memory", "chosen"),
    [("linux", "", True), ("linux", "missing", False), ("darwin", "missing", True)],
)
def test_objects_lie_among_temporary_files_where_there_is_no_shared_memory(
    platform: str, shared_memory: str, chosen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("engine.running.session_folder.SHARED_MEMORY", str(tmp_path / shared_memory))
    assert folder_of_objects() == (None if chosen else tempfile.gettempdir())
