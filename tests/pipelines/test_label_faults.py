"""Every line of the fault matrix (``benchmarks/faults.py``) holds: the bytes of an undisturbed run, and clean ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = (
    "SIGKILL of the driver",
    "SIGKILL of a teacher actor",
    "SIGKILL of a read worker",
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
def faults() -> Iterator[Any]:
    """The benchmark's module; it imports the files beside it."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import faults

        yield faults
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def bench(faults: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return faults.FaultBench(tmp_path_factory.mktemp("faults") / "bench")


@pytest.mark.parametrize("name", NAMES)
def test_a_job_that_meets_a_fault_ends_in_the_bytes_of_an_undisturbed_one(faults: Any, bench: Any, name: str) -> None:
    try:
        faults.FAULTS[name](bench)
    except faults.NotHereError as reason:
        pytest.skip(str(reason))


def test_every_fault_of_the_matrix_is_tested(faults: Any) -> None:
    assert set(faults.FAULTS) == set(NAMES)
