"""Labelling jobs in a process of their own with bounded memory and time, for hostile input; a headless browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.artifacts import Store
from engine.shards import committed_units, read_shard
from pipelines.verify import verify
from schemas.recipes import LabelRecipe, TeacherRecipe
from schemas.shards import SampleLabels

ADDRESS_SPACE = 12 << 30  # torch alone maps some gigabytes
TIMEOUT_S = 300
JOB = """
import json, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]),) * 2)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from pipelines.label import label
from schemas.recipes import LabelRecipe
label(LabelRecipe.model_validate_json(sys.argv[1]), sys.argv[2], backend="inline", progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@dataclass(frozen=True)
class Labelled:
    """What became of each sample: its labels, or its rejects as (reason, message)."""

    labels: dict[str, SampleLabels]
    images: dict[str, bytes]
    rejects: list[dict[str, str]]
    peak_bytes: int

    def reason(self, key: str) -> str | None:
        return next((row["reason"] for row in self.rejects if row["key"] == key), None)


def label_apart(source: Any, folder: Path, **fields: Any) -> Labelled:
    """Label by nano in a process of its own, whose working folder is empty and must stay so; verified."""
    teacher = TeacherRecipe(checkpoint="nano", device="cpu")
    recipe = LabelRecipe(source=source, teacher=teacher, min_score=0.0001, **fields)
    (folder / "elsewhere").mkdir()
    before = sorted(path for path in folder.rglob("*") if "out" not in path.parts)
    command = [sys.executable, "-c", JOB, recipe.model_dump_json(), str(folder / "out"), str(ADDRESS_SPACE)]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        command, cwd=folder / "elsewhere", env=environment, timeout=TIMEOUT_S, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    after = sorted(path for path in folder.rglob("*") if path != folder / "out" and folder / "out" not in path.parents)
    assert after == before  # nothing is written outside of the output
    assert verify(folder / "out", progress=False).problems == []
    return read_labelled(folder / "out", int(json.loads(done.stdout.splitlines()[-1])))


def read_labelled(out: Path, peak_bytes: int) -> Labelled:
    store = Store(out)
    samples = [sample for unit in committed_units(store) for sample in read_shard(store, unit)]
    rejects = [row for path in sorted((out / "rejects").iterdir()) for row in pq.read_table(path).to_pylist()]
    labels = {sample.labels.key: sample.labels for sample in samples}
    return Labelled(labels, {sample.labels.key: sample.image for sample in samples}, rejects, peak_bytes)


@pytest.fixture(scope="session")
def labelled_apart() -> Any:
    """:func:`label_apart`."""
    return label_apart


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's Chromium, headless (a ``playwright`` Browser). Of one module only: while it is there, its event loop
    counts as running, and no test beside it can run another."""
    from browser_pages import chromium_path
    from playwright.sync_api import sync_playwright

    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium or Chrome installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
