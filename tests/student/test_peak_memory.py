"""The peak that a run logs is its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TELL = "import torch; from student.peak_memory import peak_memory_gb; print(peak_memory_gb(torch.device('cpu')))"
STARTED_BY_A_LARGE_PROCESS = """
import subprocess, sys
held = b"x" * (1 << 30)
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process begins with a peak of its own")
def test_the_peak_of_memory_is_not_that_of_the_process_which_started_this_one() -> None:
    command = [sys.executable, "-c", STARTED_BY_A_LARGE_PROCESS, TELL]
    root = Path(__file__).parents[2]
    told = float(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)
    assert 0.05 < told < 0.9
