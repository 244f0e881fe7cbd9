"""A cluster whose machines have different installations: the job ends, and says which machine and what to do."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine.made_by import code_version
from engine.runner import connected, run
from engine.running import actor_pools
from engine.running.layout import Workers
from engine.running.stages import Stage
from schemas.records import UnitRef

REFS = [UnitRef(0, "0.tar", 0, 1)]
open_commit: Any = list  # is never opened


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[Any]:
    with connected(Workers(count=1)) as ray:
        yield ray


def test_a_worker_that_lacks_a_module_of_the_job_is_told_of_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = ModuleType("engine.only_in_the_newer_version")
    exec("def open_reader():\n    return list", newer.__dict__)
    monkeypatch.setitem(sys.modules, newer.__name__, newer)
    with pytest.raises(RuntimeError, match=r"^a worker process on [0-9.]+ cannot be started: ") as caught:
        list(run(REFS, [Stage("read", newer.open_reader)], open_commit, backend="ray", workers=Workers(count=1)))
    message = str(caught.value)
    assert "ModuleNotFoundError: No module named 'engine.only_in_the_newer_version'; every machine of the" in message
    assert "\n" not in message


def test_a_worker_of_another_version_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_pools, "code_version", lambda: "99.0")
    with pytest.raises(ValueError, match=f"^glip-engine is {code_version()} here, and 99.0 where .* start Ray there"):
        list(run(REFS, [Stage("read", open_commit)], open_commit, backend="ray", workers=Workers(count=1)))


def test_what_a_worker_cannot_open_is_told_of_with_its_machine(tmp_path: Path) -> None:
    open_lacking: Any = partial((tmp_path / "model").read_bytes)
    with pytest.raises(RuntimeError, match=rf"model' \(on {socket.gethostname()}\)$"):
        list(run(REFS, [Stage("teach", open_lacking, "teacher")], open_commit, backend="ray", workers=Workers(count=1)))
