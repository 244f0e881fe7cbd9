"""The same command on a Ray cluster of two nodes, one of which dies in the middle: the shards of the inline run.

The nodes are real ones, on loopback, each with one CPU: when one is gone, what it had begun is done by the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_bench import committers
from job_processes import DEADLINE_S, descendants, wait_for
from labelled_datasets import checksums, label_inline
from python_paths import python_path
from ray_cluster import RayCluster, ray_cluster

from pipelines.verify import verify
from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster() -> Iterator[RayCluster]:
    with ray_cluster() as cluster:
        yield cluster


def test_a_node_killed_in_the_middle_of_a_job_changes_no_byte(
    cluster: RayCluster, web: Any, random_checkpoint: Path, tmp_path: Path
) -> None:
    web.tar_of(tmp_path / "web/0.tar", web.samples(1200))
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", batch_size=4)
    recipe = LabelRecipe(source=WebDatasetSource(uri=str(tmp_path / "web")), teacher=teacher, unit_size=4)
    (tmp_path / "recipe.yaml").write_text(recipe.model_dump_json())
    label_inline(recipe, tmp_path / "inline")
    cluster.add_node()
    other = cluster.add_node()
    words = ["label", "--recipe", str(tmp_path / "recipe.yaml"), "--out", "out", "--workers", "2", "--log", "log.jsonl"]
    environment = {**cluster.environment, "RAY_ADDRESS": cluster.address, **python_path(ROOT)}
    job = subprocess.Popen([sys.executable, "-m", "pipelines.cli", *words], cwd=tmp_path, env=environment)
    out = tmp_path / "out"
    try:
        wait_for(lambda: len(set(committers(out))) == 2, job)
        assert set(committers(out)) & set(descendants(other.pid))
        cluster.kill(other)
        assert job.wait(DEADLINE_S) == 0
    finally:
        job.kill()
        job.wait()
    assert checksums(out) == checksums(tmp_path / "inline")
    assert verify(out, progress=False).problems == []
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    lost = [line["unit"] for line in log if line["event"] == "unit_lost"]
    assert 1 <= len(lost) <= 2  # what lay with the worker of that node, and no more
    assert sorted(line["unit"] for line in log if line["event"] == "unit") == list(range(300))
