"""Tables on disk: nothing is left of them, a full disk is told of, and the first row of a key is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_paths import python_path

from engine.gold.scratch import RowsByKey, Scratch, stored

IDS = st.integers() | st.sampled_from([0, 1, 2**63, -(2**63), 2**63 - 1]) | st.text(max_size=3) | st.booleans()


@settings(max_examples=60)
@given(keys=st.lists(IDS | st.none()), other=IDS)
def test_the_first_row_of_a_key_is_that_of_a_dictionary(keys: list[int | str | None], other: int | str) -> None:
    rows = RowsByKey(keys)
    firsts: dict[int | str | None, int] = {}
    for row, key in enumerate(keys):
        firsts.setdefault(key, row)
    assert len(rows) == len(keys)
    assert [rows.first(key) for key in keys if key is not None] == [firsts[key] for key in keys if key is not None]
    assert rows.first(other) == firsts.get(other)


def test_what_is_no_id_is_none() -> None:
    assert [stored(key) for key in (None, [1], {}, 0.5, float("nan"), float("inf"))] == [None] * 6
    assert stored(1e300) == stored(int(1e300))


def test_half_a_surrogate_pair_is_a_key() -> None:
    """As a name of a file that is no UTF-8 has."""
    rows = RowsByKey(["a", "\udce9"])
    assert (rows.first("\udce9"), rows.text(1)) == (1, "\udce9")


def test_a_full_disk_is_told_of() -> None:
    database = Scratch()
    assert list(database.select("PRAGMA max_page_count = 8")) == [(8,)]
    with pytest.raises(RuntimeError, match="TMPDIR"):
        database.fill("t", "row, text", ((row, "x" * 999) for row in range(99)))


def test_nothing_is_left_when_the_process_is_killed(tmp_path: Path) -> None:
    """The file is there while the tables grow beyond the cache, and has no name."""
    program = """
import os, signal
from engine.gold.scratch import CACHE_KIB, Scratch
database = Scratch()
database.fill("t", "row, text", ((row, "x" * 1000) for row in range(2 * CACHE_KIB)))
opened = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")[:-1]]
print([name for name in opened if name.startswith(os.environ["TMPDIR"])], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {"TMPDIR": str(tmp_path), **python_path(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    if Path("/proc/self/fd").exists():
        assert "(deleted)" in done.stdout
    assert list(tmp_path.iterdir()) == []
