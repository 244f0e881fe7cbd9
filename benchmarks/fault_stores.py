"""The lines of the fault matrix (`faults.py`) in which the place that the job writes to fails: a disk, an object store.

In: the bench. Out: what was seen, in words; an error where a guarantee does not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fault_bench import (
    BrokenPromiseError,
    FaultBench,
    NotHereError,
    ended,
    enlarge_disk,
    object_store,
    samples,
    small_disk,
    wait_for_units,
)

EVERY = 6  # one of so many requests meets the store's fault
S3_FAULTS = ("500", "503", "slow", "cut", "reset", "lost")


def disk_full(bench: FaultBench) -> str:
    needed = sum(path.stat().st_size for path in bench.out("undisturbed").rglob("*") if path.is_file()) // 1024
    try:
        with small_disk(bench.out("disk"), needed // 2) as disk:
            out = disk / "out"
            job = bench.start(bench.source, out, "--inline")
            _, err = job.communicate()
            if job.returncode != 1 or "there is no room for" not in err or err.count("\n") != 1:
                raise BrokenPromiseError(f"the job ended with {job.returncode} and said: {err[-300:]}")
            left = samples(out)
            enlarge_disk(disk, 4 * needed)
            answer = bench.run(bench.source, out, "--inline")
            bench.check(out)
    except PermissionError as error:
        raise NotHereError(f"no small disk can be mounted here: {error}") from None
    return (
        f"of {needed} KB half are there: one line of error, {len(left)} samples whole; {answer['new_units']} units anew"
    )


def store_faulty(fault: str) -> Callable[[FaultBench], str]:
    def line(bench: FaultBench) -> str:
        with object_store() as store:
            store.misbehave(fault, every=EVERY)
            answer = bench.run(bench.source, "s3://bucket/out", "--inline")
            met = store.counts["faults"]
            bench.check("s3://bucket/out")
            store.misbehave(None)
            again = bench.run(bench.source, "s3://bucket/out", "--inline")
            if not met or again["new_units"]:
                raise BrokenPromiseError(f"{met} faults were met, and a rerun did {again['new_units']} units")
        return f"{met} requests met it, {answer['new_units']} units done; verified through it too; a rerun does nothing"

    return line


def store_down(bench: FaultBench) -> str:
    with object_store() as store:
        job = bench.start(bench.source, "s3://bucket/out", "--inline")
        wait_for_units("s3://bucket/out", 3, job)
        store.misbehave("500")
        _, err = job.communicate()
        store.misbehave(None)
        if job.returncode != 1 or "cannot be" not in err or "run the same command again" not in err:
            raise BrokenPromiseError(f"the job ended with {job.returncode} and said: {err[-300:]}")
        left = samples("s3://bucket/out")
        answer = bench.run(bench.source, "s3://bucket/out", "--inline")
        bench.check("s3://bucket/out")
    return f"an error that says so, {len(left)} samples whole; {answer['new_units']} units anew, its lock taken over"


def two_jobs_on_a_store(bench: FaultBench) -> str:
    with object_store():
        return second_refused(bench, "s3://bucket/out")


def second_refused(bench: FaultBench, out: Path | str) -> str:
    """Check that the second of two jobs that write to one place is refused."""
    first = bench.start(bench.source, out, "--inline")
    wait_for_units(out, 1, first)
    error = bench.run(bench.source, out, "--inline", status=2)["error"]
    if "being written by another job" not in error:
        raise BrokenPromiseError(f"the second job said: {error}")
    ended(first)
    bench.check(out)
    return "the second is refused with status 2, the first ends as if alone"
