"""The same command as a Ray Job (docs/cluster.md): stopped, submitted again, the bytes of the inline run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_bench import committers
from job_processes import DEADLINE_S, wait_for
from labelled_datasets import checksums, label_inline
from python_paths import python_path
from ray_cluster import RayCluster, free_port, ray_cluster

from pipelines.verify import verify
from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource

for needed in ("aiohttp_cors", "opencensus"):
    pytest.importorskip(needed, reason="jobs are taken by Ray's dashboard, which comes with ray[default]")
pytestmark = pytest.mark.slow
UNITS = 150
JOB = "labelling"


class Jobs:
    """``ray job`` on a cluster of one node."""

    def __init__(self, cluster: RayCluster) -> None:
        port = free_port()
        cluster.environment |= python_path(Path(__file__).parents[2])
        self.node = cluster.add_node(cpus=2, dashboard_port=port)
        self._address, self._environment = f"http://127.0.0.1:{port}", cluster.environment

    def run(self, *words: str, status: int = 0) -> str:
        """What a command prints; AssertionError where it ends with another status."""
        head, *rest = words
        command = [sys.executable, "-m", "ray.scripts.scripts", "job", head, "--address", self._address, *rest]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    with ray_cluster() as cluster:
        yield Jobs(cluster)


def test_a_job_that_is_stopped_and_submitted_again_ends_in_the_bytes_of_the_inline_run(
    jobs: Jobs, web: Any, random_checkpoint: Path, tmp_path: Path
) -> None:
    web.tar_of(tmp_path / "web/0.tar", web.samples(4 * UNITS))
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", batch_size=4)
    recipe = LabelRecipe(source=WebDatasetSource(uri=str(tmp_path / "web")), teacher=teacher, unit_size=4)
    (tmp_path / "recipe.yaml").write_text(recipe.model_dump_json())
    label_inline(recipe, tmp_path / "inline")
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    words = ["label", "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(out), "--log", str(log), "--json"]
    entry = [sys.executable, "-m", "pipelines.cli", *words]
    jobs.run("submit", "--submission-id", f"{JOB}-1", "--no-wait", "--", *entry)
    wait_for(lambda: out.exists() and len(committers(out)) > 3, jobs.node, "the job's units")
    jobs.run("stop", f"{JOB}-1")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert events[-1]["event"] == "end", "the job was killed before it had finished its units"
    assert events[-1]["stopped"] == "SIGTERM"
    assert 3 < len(committers(out)) < UNITS
    printed = jobs.run("submit", "--submission-id", f"{JOB}-2", "--", *entry)
    assert f'"units": {UNITS}' in printed
    assert checksums(out) == checksums(tmp_path / "inline")
    assert verify(out, progress=False).problems == []
