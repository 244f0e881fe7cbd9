"""Records of retrainings, and one process at a time, in a folder and on an object store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.artifacts import Store
from engine.retraining.cron import Cron
from engine.retraining.records import BusyError, RetrainRecords
from engine.retraining.schedule import Claim, Schedule, Wait
from schemas.retrain import RetrainFacts, RetrainRecord

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def record(number: int) -> RetrainRecord:
    return RetrainRecord(number=number, folder="x", because=["new"], recipe_digest="r", begun=NOW, facts=RetrainFacts())


@pytest.fixture(params=["folder", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "folder" else f"{request.getfixturevalue('s3_bucket')}/models"


def test_one_process_holds_the_records_and_the_last_run_is_found(uri: str) -> None:
    first, second = RetrainRecords(uri), RetrainRecords(uri)
    assert first.last() is None
    with first.held():
        with pytest.raises(BusyError, match="another job"), second.held():
            pass
        first.write(record(1))
        first.write(record(2))
    with second.held():
        assert second.last() == record(2)


def test_records_are_read_one_after_another(tmp_path: Path) -> None:
    records = RetrainRecords(str(tmp_path))
    records.write(record(1))
    records.store.write("000002.json", b"damaged")
    runs = iter(records.all())
    assert next(runs) == record(1)
    with pytest.raises(ValueError, match=r"000002\.json is damaged"):
        next(runs)


def test_of_two_schedulers_one_serves_and_the_other_waits(uri: str) -> None:
    one, other = (Schedule([Cron("0 3 * * *")], Store(f"{uri}/schedule")) for _ in range(2))
    assert isinstance(one.poll(NOW), Wait)
    due = NOW + timedelta(hours=4)
    claim = one.poll(due)
    assert isinstance(claim, Claim)
    met = other.poll(due)
    assert isinstance(met, Wait)
    assert met.busy
    claim.finish(due, "done")
    served = other.poll(due + timedelta(minutes=1))
    assert isinstance(served, Wait)
    assert not served.busy
    state = other.state()
    assert state is not None
    assert [run.outcome for run in state.history] == ["done"]
