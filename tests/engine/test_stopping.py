"""When no further unit is begun: asked to stop, or too little time left for one more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.running.stopping import Stopping


def test_a_job_without_a_budget_stops_only_when_asked() -> None:
    stopping = Stopping()
    stopping.unit_took(1e9)
    assert not stopping.now()
    assert stopping.reason is None
    stopping.request("SIGTERM")
    stopping.request("again")
    assert stopping.now()
    assert (stopping.reason, stopping.asked) == ("SIGTERM", True)


def test_a_unit_that_would_not_be_done_in_the_budget_is_not_begun() -> None:
    stopping = Stopping(budget_s=100)
    stopping.unit_took(10)
    assert not stopping.now()
    stopping.unit_took(101)
    assert stopping.now()
    assert (stopping.reason, stopping.asked) == ("the budget is spent", False)


def test_a_budget_is_spent_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: at)
    monkeypatch.setattr("engine.running.stopping.time", clock)
    at = 1000.0
    stopping = Stopping(budget_s=10)
    at = 1009.9
    assert not stopping.now()
    stopping.unit_took(0.05)
    assert not stopping.now()
    at = 1009.95
    assert stopping.now()
