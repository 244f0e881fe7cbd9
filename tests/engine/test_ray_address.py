"""The Ray that is joined or started: where nobody answers, or it does not start, the error says what to do."""

from __future__ import annotations

import socket
import time

import pytest

from engine.runner import connected
from engine.running.layout import Workers
from engine.running.reachability import watched_head


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
    assert "run the same command again later, or without Ray (--inline" in caught.value.__notes__[0]


def test_a_cluster_that_cannot_be_joined_from_here_is_told_of_with_how_it_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray itself says after a minute that it failed to connect, also where the head answers and only this machine is
    none of the cluster's."""
    ray = pytest.importorskip("ray")

    def no_node_here(**how: object) -> None:
        raise ConnectionError(f"Failed to connect to Ray cluster at {how['address']}")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", no_node_here)
    with socket.create_server(("127.0.0.1", 0)) as head:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{head.getsockname()[1]}")
        with pytest.raises(ConnectionError, match="Failed to connect") as caught, connected(Workers()):
            pass
    assert "run `ray start --address=HEAD:6379 --num-cpus=0` on it first" in caught.value.__notes__[0]


def test_a_head_that_is_lost_while_a_job_runs_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Ray would end the process a minute later without a message."""
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        with watched_head(address, look_s=0.01):
            for _ in range(3):  # it is asked, and answers
                head.accept()[0].close()
            assert caplog.text == ""
            head.close()
            while not caplog.records:
                time.sleep(0.01)
            time.sleep(0.2)
    assert len(caplog.records) == 1
    assert f"the head of the Ray cluster at {address} does not answer any more" in caplog.text
