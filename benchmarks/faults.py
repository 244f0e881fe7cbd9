"""The fault matrix of the labelling job: each line a fault, and whether the job ends in the bytes it would have had.

    python benchmarks/faults.py [--only WORD]

In: nothing; sixty drawn scenes in three tars, units of five, nano on the CPU. Out: a table; status 1 where a guarantee
does not hold. A line is good when every shard and table has the checksum of the undisturbed run and `verify` is clean.
The loss of a node has a test of its own, on a cluster of two Ray nodes (`tests/engine/test_cluster.py`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fault_bench import (
    SCENES,
    UNITS,
    BrokenPromiseError,
    FaultBench,
    checksums,
    descendants,
    ended,
    enlarge_disk,
    object_store,
    samples,
    small_disk,
    wait_for,
    wait_for_units,
    wait_until_gone,
    workers,
)

EVERY = 6  # requests of which one meets the store's fault
S3_FAULTS = ("500", "503", "slow", "cut", "reset", "lost")
CLOCK = """
import random, time
real, draw = time.time, random.Random(0)
time.time = lambda: real() + draw.uniform(-1, 1) * 10 * 365 * 86400
time.time_ns = lambda: int(time.time() * 1e9)
"""


class NotHereError(Exception):
    """This machine cannot show the fault; the text says why."""


def driver_killed(bench: FaultBench) -> str:
    out = bench.out("driver")
    job = bench.start(bench.source, out, "--workers", "2")
    wait_for_units(out, 3, job)
    below = descendants(job.pid)
    job.kill()
    job.communicate()
    wait_until_gone(below)
    left = samples(out)
    answer = bench.run(bench.source, out, "--workers", "1")
    bench.check(out)
    return f"{len(left)} samples whole when it died, its {len(below)} processes gone; {answer['new_units']} units anew"


def worker_killed(bench: FaultBench) -> str:
    out = bench.out("worker")
    job = bench.start(bench.source, out, "--workers", "2")
    wait_for_units(out, 2, job)
    victim = wait_for(lambda: workers(job.pid), job, "a worker process")[0]
    os.kill(victim, signal.SIGKILL)
    answer = ended(job)
    bench.check(out)
    return f"the same run goes on with another worker and ends: {answer['new_units']} units"


def reader_killed(bench: FaultBench) -> str:
    raise NotHereError("read workers are processes of their own beside a GPU only; on CPUs a worker reads and teaches")


def terminated(bench: FaultBench) -> str:
    out = bench.out("terminated")
    job = bench.start(bench.source, out, "--workers", "2")
    wait_for_units(out, 2, job)
    job.terminate()
    first = ended(job)
    answer = bench.run(bench.source, out, "--workers", "2")
    bench.check(out)
    return f"stops by itself after {first['new_units']} units; {answer['new_units']} anew"


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


def source_truncated(bench: FaultBench) -> str:
    source, out = bench.out("cut-source"), bench.out("cut")
    shutil.copytree(bench.source, source)
    middle = source / "00001.tar"
    os.truncate(middle, middle.stat().st_size // 2)
    bench.run(source, bench.out("cut-undisturbed"), "--inline")
    job = bench.start(source, out, "--workers", "2")
    wait_for_units(out, 2, job)
    job.kill()
    job.communicate()
    answer = bench.run(source, out, "--workers", "2")
    bench.check(out, checksums(bench.out("cut-undisturbed")))
    whole, kept = samples(bench.out("undisturbed")), samples(out)
    if answer["rejects"].get("tar_broken") != 1 or any(whole[key] != labels for key, labels in kept.items()):
        raise BrokenPromiseError(f"rejects {answer['rejects']}; labels of samples before the cut differ")
    return (
        f"{len(kept)} of {SCENES} samples, labelled as before; the rest is 1 reject tar_broken; killed and gone on with"
    )


def clock_moved(bench: FaultBench) -> str:
    patch, out = bench.out("clock"), bench.out("clocked")
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(CLOCK)
    environment = {"PYTHONPATH": str(patch)}
    job = bench.start(bench.source, out, "--inline", env=environment)
    wait_for_units(out, 2, job)
    job.kill()
    job.communicate()
    answer = bench.run(bench.source, out, "--inline", env=environment)
    bench.check(out)
    return f"time.time() up to ten years off at every call, killed between: {answer['new_units']} units anew"


def two_jobs(bench: FaultBench) -> str:
    out = bench.out("two")
    first = bench.start(bench.source, out, "--inline")
    wait_for_units(out, 1, first)
    error = bench.run(bench.source, out, "--inline", status=2)["error"]
    if "being written by another job" not in error:
        raise BrokenPromiseError(f"the second job said: {error}")
    ended(first)
    bench.check(out)
    return "the second is refused with status 2, the first ends as if alone"


def two_jobs_on_a_store(bench: FaultBench) -> str:
    with object_store():
        first = bench.start(bench.source, "s3://bucket/out", "--inline")
        wait_for_units("s3://bucket/out", 1, first)
        error = bench.run(bench.source, "s3://bucket/out", "--inline", status=2)["error"]
        if "being written by another job" not in error:
            raise BrokenPromiseError(f"the second job said: {error}")
        ended(first)
        bench.check("s3://bucket/out")
    return "the second is refused with status 2, the first ends as if alone"


FAULTS: dict[str, Callable[[FaultBench], str]] = {
    "SIGKILL of the driver": driver_killed,
    "SIGKILL of a teacher actor": worker_killed,
    "SIGKILL of a read worker": reader_killed,
    "SIGTERM": terminated,
    "output disk full, then freed": disk_full,
    **{f"S3, every {EVERY}th request: {fault}": store_faulty(fault) for fault in S3_FAULTS},
    "S3 down in the middle": store_down,
    "source tar cut in the middle": source_truncated,
    "clock moved": clock_moved,
    "two jobs on one folder": two_jobs,
    "two jobs on one S3 prefix": two_jobs_on_a_store,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only the faults whose name has this in it")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="glip-engine-faults-") as folder:
        bench = FaultBench(Path(folder) / "bench")
        print(f"undisturbed: {UNITS} units, {len(samples(bench.out('undisturbed')))} of {SCENES} samples labelled")
        for name, line in FAULTS.items():
            if options.only not in name:
                continue
            started = time.monotonic()
            try:
                verdict = f"same bytes, verify clean; {line(bench)}"
            except NotHereError as error:
                verdict = f"not here: {error}"
            except Exception as error:  # whatever it is, the other lines are to be seen too
                failed, verdict = failed + 1, f"FAILED: {type(error).__name__}: {error}"
            print(f"| {name:28} | {time.monotonic() - started:5.1f} s | {verdict} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
