"""The same command on a Ray cluster of two nodes, one of which dies in the middle: the shards of the inline run.

The nodes are real ones, on loopback, each with one CPU: when one is gone, what it had begun is done by the other.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.label import label
from pipelines.verify import verify
from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
WAIT_S = 120


class Cluster:
    """Ray nodes started as a user starts them, each with its own token, port and folder; all are killed at the end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray"))  # sockets lie in it, whose paths have to be short
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.environment = {**os.environ, **token, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
        self.nodes: list[subprocess.Popen[bytes]] = []

    def add_node(self) -> subprocess.Popen[bytes]:
        """A node with one CPU; the first one is the head."""
        place = [f"--address={self.address}"]
        if not self.nodes:
            port = self.address.rpartition(":")[2]
            place = ["--head", f"--port={port}", f"--temp-dir={self.folder}", "--include-dashboard=false"]
        limits = ["--num-cpus=1", "--object-store-memory=100000000", "--node-ip-address=127.0.0.1"]
        words = [sys.executable, "-m", "ray.scripts.scripts", "start", *place, *limits, "--block"]
        log = self.folder / f"node{len(self.nodes)}.log"
        with log.open("wb") as output:
            node = subprocess.Popen(words, env=self.environment, stdout=output, stderr=output)
        self.nodes.append(node)
        wait_until(lambda: b"Ray runtime started" in log.read_bytes(), node, log.read_text)
        return node

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """The node's whole tree of processes at once, as by a power cut."""
        for pid in [node.pid, *descendants(node.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        node.wait()

    def stop(self) -> None:
        for node in self.nodes:
            if node.poll() is None:
                self.kill(node)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.stop()


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[Any], told: Callable[[], str] = lambda: ""
) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert process.poll() is None, told()
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


def checksums(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.parent.name != "manifests"]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def committing_processes(out: Path) -> set[int]:
    """Of the units that are committed so far."""
    manifests = [path for path in out.glob("manifests/*.json") if not path.name.startswith(".")]
    return {int(json.loads(path.read_text())["worker"].rpartition(":")[2]) for path in manifests}


def test_a_node_killed_in_the_middle_of_a_job_changes_no_byte(
    cluster: Cluster, web: Any, random_checkpoint: Path, tmp_path: Path
) -> None:
    web.tar_of(tmp_path / "web/0.tar", web.samples(1200))
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", batch_size=4)
    recipe = LabelRecipe(source=WebDatasetSource(uri=str(tmp_path / "web")), teacher=teacher, unit_size=4)
    (tmp_path / "recipe.yaml").write_text(recipe.model_dump_json())
    label(recipe, tmp_path / "inline", backend="inline", progress=False)
    cluster.add_node()
    other = cluster.add_node()
    words = ["label", "--recipe", str(tmp_path / "recipe.yaml"), "--out", "out", "--workers", "2", "--log", "log.jsonl"]
    environment = {**cluster.environment, "RAY_ADDRESS": cluster.address, "PYTHONPATH": str(ROOT)}
    job = subprocess.Popen([sys.executable, "-m", "pipelines.cli", *words], cwd=tmp_path, env=environment)
    try:
        wait_until(lambda: len(committing_processes(tmp_path / "out")) == 2, job)
        assert committing_processes(tmp_path / "out") & set(descendants(other.pid))
        cluster.kill(other)
        assert job.wait(WAIT_S) == 0
    finally:
        job.kill()
        job.wait()
    assert checksums(tmp_path / "out") == checksums(tmp_path / "inline")
    assert verify(tmp_path / "out", progress=False).problems == []
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    lost = [line["unit"] for line in log if line["event"] == "unit_lost"]
    assert 1 <= len(lost) <= 2  # what lay with the worker of that node, and no more
    assert sorted(line["unit"] for line in log if line["event"] == "unit") == list(range(300))
