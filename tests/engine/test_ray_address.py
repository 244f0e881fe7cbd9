"""The cluster that RAY_ADDRESS names: where nobody answers, that is told at once."""

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
