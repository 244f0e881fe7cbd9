"""Which processes a job has, by what the cluster has."""

from __future__ import annotations

import pytest

from engine.running.layout import WRITE, Workers, layout
from engine.running.stages import Stage, Work


def nothing() -> Work:
    return lambda unit: unit.records


STAGES = [Stage("read", nothing), Stage("parse", nothing), Stage("ground", nothing, "teacher")]
ALL = ("read", "parse", "ground", WRITE)


def pools(workers: Workers, cluster: dict[str, float] | None) -> list[tuple[tuple[str, ...], int, dict[str, float]]]:
    return [(one.names, one.size, one.takes) for one in layout(STAGES, workers, cluster).pools]


def test_without_a_cluster_one_process_does_everything() -> None:
    assert pools(Workers(count=4, wants_gpu=True), None) == [(ALL, 1, {})]


@pytest.mark.parametrize(
    ("workers", "size"),
    [(Workers(), 8), (Workers(threads=3), 2), (Workers(threads=16), 1), (Workers(count=5, threads=3), 5)],
)
def test_on_cpus_the_job_is_one_pool_of_as_many_workers_as_fit_or_are_asked_for(workers: Workers, size: int) -> None:
    assert pools(workers, {"CPU": 8.0, "GPU": 2.0}) == [(ALL, size, {"num_cpus": workers.threads})]


def test_a_gpu_that_is_wanted_and_not_there_leaves_the_cpus() -> None:
    assert not layout(STAGES, Workers(wants_gpu=True), {"CPU": 2.0}).on_gpu
    assert pools(Workers(wants_gpu=True), {"CPU": 2.0}) == [(ALL, 2, {"num_cpus": 1})]


@pytest.mark.parametrize(("gpus", "helpers"), [(1.0, 1), (2.0, 1), (8.0, 4), (9.0, 5)])
def test_beside_every_two_gpus_one_process_reads_and_one_writes(gpus: float, helpers: int) -> None:
    assert pools(Workers(wants_gpu=True), {"CPU": 64.0, "GPU": gpus}) == [
        (("read", "parse"), helpers, {"num_cpus": 0.5}),
        (("ground",), int(gpus), {"num_gpus": 1, "num_cpus": 0.5}),
        ((WRITE,), helpers, {"num_cpus": 0.5}),
    ]
