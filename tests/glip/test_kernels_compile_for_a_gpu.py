"""The Triton kernels, compiled for a GPU that is not here: they must assemble, and all they hold must fit in registers.

In a process of their own, since in this one Triton's interpreter runs them (tests/conftest.py).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed")

ROOT = Path(__file__).parents[2]


def test_the_kernels_of_a_published_model_compile_for_hopper_and_spill_nothing() -> None:
    script = [sys.executable, "benchmarks/kernel_resources.py", "--capability", "90", "--channels", "256"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if "_kernel" in line]
    assert len(rows) == 8, "two kernels, two types of map, two strides"
    for *_, registers, spilled, shared in rows:
        assert int(registers) <= 255
        assert int(spilled) == 0
        assert int(shared) <= 227 * 1024
