"""The fault matrix of the labelling job: each line a fault, and whether the job ends in the bytes it would have had.

    python benchmarks/faults.py [--only WORD]

In: nothing; sixty drawn scenes in three tars, units of five, nano on the CPU. Out: a table; status 1 where a guarantee
does not hold. A line is good when every shard and table has the checksum of the undisturbed run and `verify` is clean.
Nodes are those of a cluster on loopback. A read worker is a process of its own beside a GPU only: its line runs on a
node that is told of one, which lays the job out as beside a real one.
"""

from __future__ import annotations

import argparse
import os
import shutil
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
    NotHereError,
    checksums,
    killed,
    samples,
    wait_for_units,
)
from fault_processes import driver_killed, node_killed, reader_killed, terminated, worker_killed
from fault_stores import EVERY, S3_FAULTS, disk_full, second_refused, store_down, store_faulty, two_jobs_on_a_store

CLOCK = """
import random, time
real, draw = time.time, random.Random(0)
time.time = lambda: real() + draw.uniform(-1, 1) * 10 * 365 * 86400
time.time_ns = lambda: int(time.time() * 1e9)
"""


def source_truncated(bench: FaultBench) -> str:
    source, out = bench.out("cut-source"), bench.out("cut")
    shutil.copytree(bench.source, source)
    middle = source / "00001.tar"
    os.truncate(middle, middle.stat().st_size // 2)
    bench.run(source, bench.out("cut-undisturbed"), "--inline")
    job = bench.start(source, out, "--workers", "2")
    wait_for_units(out, 2, job)
    killed(job)
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
    killed(job)
    answer = bench.run(bench.source, out, "--inline", env=environment)
    bench.check(out)
    return f"time.time() up to ten years off at every call, killed between: {answer['new_units']} units anew"


def two_jobs(bench: FaultBench) -> str:
    return second_refused(bench, bench.out("two"))


FAULTS: dict[str, Callable[[FaultBench], str]] = {
    "SIGKILL of the driver": driver_killed,
    "SIGKILL of a teacher actor": worker_killed,
    "SIGKILL of a read worker": reader_killed,
    "SIGKILL of a node": node_killed,
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
            except Exception as error:  # any error: the other lines must still run
                failed, verdict = failed + 1, f"FAILED: {type(error).__name__}: {error}"
            print(f"| {name:28} | {time.monotonic() - started:5.1f} s | {verdict} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
