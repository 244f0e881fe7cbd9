"""What grows while a job runs for long: memory, open files and threads of its processes, files in TMPDIR, time a unit.

    python benchmarks/soak.py label --minutes 10       # or urls, s3, train, serve

Runs the command itself, in a process of its own, on made data (`soak_jobs.py`): `label` on Ray with nano, in small
units, on captions that are never the same, from tars, from `urls` or through `s3`; `train` with checkpoints and their
evaluation; `serve` while somebody searches and judges. Every few seconds it looks at all processes. Printed is what
each kind of them held after a third of the time and at the end, the rise between for 1,000 units (steps, requests) by
least squares, and how many units a second the second third and the last one did. Exits with 1 where memory rises by
more than --at-most MiB for 1,000 units.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression

from job_processes import alive, command_line, descendants
from soak_jobs import JOBS, Started

KINDS = {"UnitWorker": "worker", "gcs_server": "GCS", "raylet/raylet": "raylet", "pipelines.cli": "driver"}
LISTED = {"files": "fd", "threads": "task"}
Held = Counter[tuple[str, str]]  # by kind of process and measure


@dataclass(frozen=True)
class Look:
    """What there was at one moment."""

    seconds: float
    units: int
    held: Held


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        (Path(scratch) / "tmp").mkdir()
        with JOBS[options.job](Path(scratch), options.units) as started:
            looks = watch(started, Path(scratch) / "tmp", options)
    return report(looks, options.at_most)


def watch(started: Started, temporary: Path, options: argparse.Namespace) -> list[Look]:
    """Look until the time is over or the job has ended by itself; it is told to stop."""
    job, units = started
    began, looks = time.monotonic(), list[Look]()
    try:
        while (seconds := time.monotonic() - began) < 60 * options.minutes and job.poll() is None:
            looks.append(Look(seconds, units(), held_by([job.pid, *descendants(job.pid)], temporary)))
            time.sleep(options.every)
    finally:
        job.terminate()
        status = job.wait()
    print(f"the job ended with {status} after {looks[-1].units} units in {looks[-1].seconds:.0f} s", file=sys.stderr)
    return looks


def held_by(pids: list[int], temporary: Path) -> Held:
    """Of the processes by kind, and of TMPDIR."""
    held = Held()
    for pid in filter(alive, pids):
        words = command_line(pid)
        kind = next((name for part, name in KINDS.items() if part in words), "others")
        try:
            found = {"MiB": own_mib(pid), "processes": 1.0}
            found |= {name: len(os.listdir(f"/proc/{pid}/{part}")) for name, part in LISTED.items()}
        except OSError:  # it has ended meanwhile
            continue
        held += Held({(kind, measure): value for measure, value in found.items()})  # type: ignore[arg-type]
    sizes = [file.stat().st_size for file in temporary.rglob("*") if file.is_file() and not file.is_symlink()]
    return held + Held({("TMPDIR", "MiB"): sum(sizes) / 2**20, ("TMPDIR", "files"): len(sizes)})  # type: ignore[arg-type]


def own_mib(pid: int) -> float:
    """Its own memory and its share of what it has in common with others, without files: these are shared with whatever
    else runs on the machine."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))) / 1024


def report(looks: list[Look], at_most: float) -> int:
    """The table; 1 where memory rises by more than ``at_most``."""
    end = looks[-1].seconds
    settled = [look for look in looks if look.seconds >= end / 3]
    if settled[0].units == settled[-1].units:
        raise SystemExit("too short: no unit was done in the last two thirds of the time")
    middle = next(look for look in settled if look.seconds >= 2 * end / 3)
    print("| of | measure | after a third | at the end | rise for 1,000 units |\n| --- | --- | --- | --- | --- |")
    steepest = 0.0
    for kind, measure in sorted(set().union(*(look.held for look in settled))):
        values = [float(look.held[kind, measure]) for look in settled]
        rise = 1000 * linear_regression([look.units for look in settled], values).slope
        print(f"| {kind} | {measure} | {values[0]:.1f} | {values[-1]:.1f} | {rise:+.3f} |")
        if measure == "MiB":
            steepest = max(steepest, rise)
    for name, first, last in (("second", settled[0], middle), ("last", middle, settled[-1])):
        print(f"{(last.units - first.units) / (last.seconds - first.seconds):.2f} units/s in the {name} third")
    return int(steepest > at_most)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--units", type=int, default=20_000, help="there are no more, however long it may take")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--at-most", type=float, default=5.0, help="MiB for 1,000 units")
    parser.add_argument("--scratch", help="folder for source, output and TMPDIR; a short name, for Ray's sockets")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
