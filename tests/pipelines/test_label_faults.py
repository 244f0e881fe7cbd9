"""Every line of the fault matrix (``benchmarks/faults.py``) holds: the bytes of an undisturbed run, and clean ones."""

from __future__ import annotations

from typing import Any

import faults
import pytest

NAMES = (
    "SIGKILL of the driver",
    "SIGKILL of a teacher actor",
    "SIGKILL of a read worker",
    "SIGKILL of a node",
    "SIGTERM",
    "output disk full, then freed",
    *(f"S3, every 6th request: {fault}" for fault in ("500", "503", "slow", "cut", "reset", "lost")),
    "S3 down in the middle",
    "source tar cut in the middle",
    "clock moved",
    "two jobs on one folder",
    "two jobs on one S3 prefix",
)
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # moto's server leaves sockets to the collector


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return faults.FaultBench(tmp_path_factory.mktemp("faults") / "bench")


@pytest.mark.parametrize("name", NAMES)
def test_a_job_that_meets_a_fault_ends_in_the_bytes_of_an_undisturbed_one(bench: Any, name: str) -> None:
    try:
        faults.FAULTS[name](bench)
    except faults.NotHereError as reason:
        pytest.skip(str(reason))


def test_every_fault_of_the_matrix_is_tested() -> None:
    assert set(faults.FAULTS) == set(NAMES)
