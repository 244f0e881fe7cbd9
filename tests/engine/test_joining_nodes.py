"""Machines that join a cluster while a job runs take part in it, unless the job was told how many workers it has.

The nodes are Ray's own, several on this machine; the GPU that they have is a number that Ray hands out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.runner import run
from engine.running.layout import Workers
from engine.running.stages import Commit, Stage, Work
from engine.running.stopping import Stopping
from schemas.records import CaptionedImage, Unit, UnitRef
from schemas.shards import ShardManifest

pytestmark = pytest.mark.slow
REFS = [UnitRef(number, "0.tar", number, 1) for number in range(100_000)]  # more than a test has time for
DEADLINE_S = 300.0
NODE = {"num_cpus": 2, "num_gpus": 1}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of one node, which jobs join."""
    import ray
    from ray.cluster_utils import Cluster

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import a test file
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setattr("engine.running.unit_flow.LOOK_FOR_ROOM_S", 0.1)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def open_teller() -> Work:
    """Its records name the node that it runs on."""
    import ray

    node = ray.get_runtime_context().get_node_id()

    def work(unit: Unit[Any]) -> list[CaptionedImage]:
        time.sleep(0.01)
        return [CaptionedImage(node, b"x", "jpg", "", "") for _ in unit.records]

    return work


def open_commit() -> Commit[ShardManifest]:
    """Its manifest names the node that the first record names."""

    def commit(unit: Unit[CaptionedImage]) -> ShardManifest:
        (record,) = unit.records
        ref = unit.ref
        return ShardManifest(
            unit=ref.index,
            source_uri=ref.uri,
            first_row=ref.first_row,
            rows=ref.rows,
            work_digest="",
            stages=[],
            samples=1,
            phrases=0,
            boxes=0,
            rejects=0,
            files=[],
            first_key=record.key,
            last_key=record.key,
        )

    return commit


def nodes_of_a_job_that_one_joins(cluster: Any, workers: Workers, *, seconds: float) -> set[str]:
    """The nodes whose teachers have done units, until a second one has, or for so many seconds after it has joined."""
    stopping, nodes, until = Stopping(), set[str](), None
    stages = [Stage("teach", open_teller, "teacher")]
    for manifest in run(REFS, stages, open_commit, backend="ray", workers=workers, stopping=stopping):
        nodes.add(manifest.first_key)
        if until is None:
            cluster.add_node(**NODE)
            until = time.monotonic() + seconds
        if len(nodes) > 1 or time.monotonic() > until:
            stopping.request("enough")
    return nodes


@pytest.mark.parametrize("wants_gpu", [False, True], ids=["on CPUs", "on GPUs"])
def test_a_node_that_joins_a_job_under_way_does_units(cluster: Any, wants_gpu: bool) -> None:
    workers = Workers(threads=2, wants_gpu=wants_gpu)
    assert len(nodes_of_a_job_that_one_joins(cluster, workers, seconds=DEADLINE_S)) == 2


def test_as_many_workers_as_were_asked_for_and_no_more(cluster: Any) -> None:
    assert len(nodes_of_a_job_that_one_joins(cluster, Workers(count=1, threads=2), seconds=5)) == 1
