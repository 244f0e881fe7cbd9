"""A Ray that is started here needs no home: a container's user often has none that can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.running.session_token import give_session_token

START_RAY = """
from engine.runner import connected
from engine.running.layout import Workers
with connected(Workers(count=1)) as ray:
    print("runs", ray.get(ray.remote(lambda: 7).remote()))
"""


def test_ray_starts_here_where_the_home_cannot_be_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("no folder, so that root cannot write there either")
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    started = subprocess.run(
        [sys.executable, "-c", START_RAY], env=theirs | {"HOME": str(home)}, capture_output=True, text=True, check=False
    )
    assert started.stdout == "runs 7\n", started.stderr


@pytest.mark.parametrize("of_the_user", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "file", None])
def test_a_token_or_a_cluster_of_the_user_is_left_alone(
    of_the_user: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    if of_the_user == "file":
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("ours")
    elif of_the_user:
        monkeypatch.setenv(of_the_user, "ours")
    before = os.environ.get("RAY_AUTH_TOKEN")
    give_session_token()
    after = os.environ.get("RAY_AUTH_TOKEN")
    if of_the_user:
        assert after == before
    else:
        assert len(after or "") == 64
