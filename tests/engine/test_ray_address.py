"""The Ray that is joined or started: where nobody answers, or it does not start, the error says what to do."""

from __future__ import annotations

import socket
import time

import pytest

from engine.runner import connected
from engine.running.layout import Workers


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_address_where_nothing_answers_is_told_at_once(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # by another test of this process
    with socket.socket() as bound:  # taken, and not listened to
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"{host}:{bound.getsockname()[1]}")
        started = time.monotonic()
        with (
            pytest.raises(ValueError, match=r"RAY_ADDRESS is .*, where nothing answers \(.*\); start Ray there"),
            connected(Workers()),
        ):
            pass
    assert time.monotonic() - started < 60


def test_a_ray_that_does_not_start_is_told_of_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", "/dev/null")  # no folder
    with pytest.raises(NotADirectoryError) as caught, connected(Workers()):
        pass
    assert "run the same command again later, or with --inline" in caught.value.__notes__[0]
