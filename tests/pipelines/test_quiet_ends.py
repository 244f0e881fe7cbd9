"""A command whose work is done ends with its own status, whatever the threads of libraries are at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from exported_datasets import pseudo_dataset
from python_paths import python_path

from engine.artifacts import Store
from engine.shards import read_manifests
from pipelines.dedupe import dedupe

# Arrow's threads have no name of their own; its allocator's, which never asks for the interpreter, has one.
TOLD = """
import os, sys
from pipelines.cli import main
main(sys.argv[1:])
names = [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]
print(len([name for name in names if name != "jemalloc_bg_thd"]))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc to see threads")
@pytest.mark.parametrize("command", ["verify", "export", "dedupe"])
def test_no_thread_that_may_hold_a_python_file_lives_on(tmp_path: Path, command: str) -> None:
    """The process is aborted where such a thread ends after the interpreter, as now and then with `verify`."""
    dataset = pseudo_dataset(tmp_path / "dataset")
    dedupe(dataset, progress=False)
    assert read_manifests(Store(dataset))
    options = {"export": ["--format", "coco", "--out", str(tmp_path / "out")]}.get(command, [])
    one_core = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", **python_path()}
    ended = subprocess.run(
        [sys.executable, "-c", TOLD, command, str(dataset), *options],
        capture_output=True,
        text=True,
        env=one_core,
        check=False,
    )
    assert ended.stdout.splitlines()[-1] == "1", ended.stderr  # the one that printed it
