"""Whether a labelling job's memory grows with its input: peak RSS of driver and workers at a size and at ten times it.

    python benchmarks/label_memory.py ../shared/data/photos/web --images 800

Runs `glip-engine label` on Ray twice, on the source's images repeated, with nano at a small size so that it is quick.
The peak is what the kernel keeps for each process (VmHWM), read every second until the process ends; of the workers the
largest counts. Exits with 1 where driver or workers take more than --at-most times as much on ten times the input.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from job_processes import command_line, descendants
from own_process import memory_mib
from web_tars import repeat_source

from engine.running.cores import usable_cores

KINDS = {"driver": "pipelines.cli", "worker": "ray::UnitWorker"}  # a part of their command lines


def main() -> int:
    options = _options()
    peaks, sizes = [], (options.images, 10 * options.images)
    for images in sizes:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            source = repeat_source(options.source, Path(scratch) / "web", images)
            peaks.append(peak_mib(source, Path(scratch) / "out", options))
    ratios = {kind: round(peaks[1][kind] / peaks[0][kind], 3) for kind in KINDS}
    print(json.dumps({"images": sizes, "workers": options.workers, "peak_mib": peaks, "ratio": ratios}, indent=1))
    return 0 if max(ratios.values()) <= options.at_most else 1


def peak_mib(source: Path, out: Path, options: argparse.Namespace) -> dict[str, float]:
    """The peak RSS in MiB of the driver, and of the largest worker, over one job."""
    recipe = (
        "unit_size=50",
        "teacher.device=cpu",
        f"teacher.min_size={options.size}",
        f"teacher.max_size={options.size}",
    )
    words = [sys.executable, "-m", "pipelines.cli", "label", str(source), "--out", str(out), "--json"]
    words += ["--workers", str(options.workers), *(word for field in recipe for word in ("--set", field))]
    peaks = dict.fromkeys(KINDS, 0.0)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as job:
        while job.poll() is None:
            for pid in [job.pid, *descendants(job.pid)]:
                kind, peak = look_at(pid)
                if kind:
                    peaks[kind] = max(peaks[kind], peak)
            time.sleep(1)
        assert job.stdout is not None
        result = json.loads(job.stdout.read() or "{}")
    if job.returncode:
        raise SystemExit(f"the job ended with status {job.returncode}: {result.get('error')}")
    assert result["images"] == sum(stage["came_in"] for stage in result["stages"][:1])
    print(f"{result['images']} images in {result['seconds']} s: {peaks}", file=sys.stderr)
    return peaks


def look_at(pid: int) -> tuple[str | None, float]:
    """The kind of a job's process (None: another one), and its peak RSS so far in MiB; 0 if it has just ended."""
    try:
        peak = memory_mib("VmHWM", pid)
    except OSError:
        return None, 0.0
    return next((kind for kind, part in KINDS.items() if part in command_line(pid)), None), peak


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of tars as img2dataset writes them")
    parser.add_argument("--images", type=int, default=800, help="of the smaller job")
    parser.add_argument("--size", type=int, default=64, help="sides in pixels that images are resized to")
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--at-most", type=float, default=1.1)
    parser.add_argument("--scratch", help="folder for the repeated source and the labels")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
