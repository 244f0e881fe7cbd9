"""The lines of the fault matrix (`faults.py`) in which processes die or are told to stop.

In: the bench. Out: what was seen, in words; an error where a guarantee does not hold.
"""

from __future__ import annotations

from fault_bench import (
    BrokenPromiseError,
    FaultBench,
    checksums,
    committers,
    ended,
    killed,
    samples,
    wait_for_units,
    workers,
)
from job_processes import alive, has_open, kill, wait_for
from ray_cluster import RayCluster, ray_cluster


def driver_killed(bench: FaultBench) -> str:
    out = bench.out("driver")
    job = bench.start(bench.source, out, "--workers", "2")
    wait_for_units(out, 3, job)
    orphans = workers(job.pid)
    killed(job)
    living = sum(map(alive, orphans))
    left = samples(out)
    answer = bench.run(bench.source, out, "--workers", "1")  # at once, while workers of the killed driver still live
    if any(map(alive, orphans)):
        raise BrokenPromiseError("workers outlive their driver and the next job")
    bench.check(out)
    return f"{len(left)} samples whole and {living} workers alive as the next began; {answer['new_units']} units anew"


def worker_killed(bench: FaultBench) -> str:
    out = bench.out("worker")
    job = bench.start(bench.source, out, "--workers", "2")
    wait_for_units(out, 2, job)
    kill(wait_for(lambda: workers(job.pid), job, "a worker process")[:1])
    answer = ended(job)
    bench.check(out)
    return f"the same run goes on with another worker and ends: {answer['new_units']} units"


def reader_killed(bench: FaultBench) -> str:
    out, recipe = bench.out("reader"), ("--set", "teacher.device=auto")
    bench.run(bench.source, bench.out("reader-undisturbed"), "--inline", *recipe)
    with ray_cluster() as cluster:
        node = cluster.add_node(cpus=2, gpus=1)
        job = bench.start(bench.source, out, *recipe, env=address_of(cluster))
        wait_for_units(out, 2, job)
        readers = [pid for pid in workers(node.pid) if has_open(pid, bench.source)]
        apart = len(workers(node.pid)), len(set(readers) & set(committers(out)))
        kill(readers)
        answer = ended(job)
    if len(readers) != 1 or apart != (3, 0):
        raise BrokenPromiseError(f"of {apart[0]} workers {len(readers)} read and {apart[1]} of these commit")
    bench.check(out, checksums(bench.out("reader-undisturbed")))
    return f"1 of 3 processes (reading, teaching, writing); the same run ends: {answer['new_units']} units"


def node_killed(bench: FaultBench) -> str:
    out = bench.out("node")
    with ray_cluster() as cluster:
        cluster.add_node()
        other = cluster.add_node()
        job = bench.start(bench.source, out, "--workers", "2", env=address_of(cluster))
        wait_for(lambda: set(committers(out)) & set(workers(other.pid)), job, "a unit of the second node")
        done = len(committers(out))
        cluster.kill(other)
        answer = ended(job)
    bench.check(out)
    return f"1 of 2 nodes, after {done} units; the same run ends on the other: {answer['new_units']} units"


def address_of(cluster: RayCluster) -> dict[str, str]:
    """The environment variables by which a job finds the cluster."""
    return {**cluster.environment, "RAY_ADDRESS": cluster.address}


def terminated(bench: FaultBench) -> str:
    out = bench.out("terminated")
    job = bench.start(bench.source, out, "--workers", "2")
    wait_for_units(out, 2, job)
    job.terminate()
    first = ended(job)
    answer = bench.run(bench.source, out, "--workers", "2")
    bench.check(out)
    return f"stops by itself after {first['new_units']} units; {answer['new_units']} anew"
