"""How the numbers of a report grow with the boxes: ``python benchmarks/report_scale.py [--millions 1 3 10 30]``.

For each size a dataset is generated into a temporary folder (``benchmarks/generated_boxes.py``: tables and manifests,
no shards, so that the sample of captions is not measured), then a process of its own takes its numbers as
``glip-engine report`` does. Prints seconds by the clock, those of all cores with the process's start (about one), the
peak memory of that process, and what was counted. ``--selection`` measures a preset: ``grit`` drops overlapping boxes
and contained phrases of every image.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from generated_boxes import IMAGES_A_UNIT, write_generated
from own_process import in_own_process, peak_mib

from engine.artifacts import Store
from engine.box_tables import MEMORY_LIMIT

ROW = "{:>12} {:>7} {:>8} {:>8} {:>11} {:>11} {:>12} {:>12} {:>8}"
COLUMNS = ("boxes", "units", "seconds", "CPU s", "s / million", "peak", "kept", "phrases", "per box")


def measure(dataset: str, selection: str, memory_limit: str) -> dict[str, float]:
    """Compute the numbers of a dataset in this process: seconds, memory, and what was found."""
    from engine.statistics import dataset_report

    started = time.perf_counter()
    report = dataset_report(dataset, selection, memory_limit=memory_limit)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time(),
        "peak_mib": peak_mib(),
        "units": report.units,
        "kept": report.number("boxes") or 0,
        "unique_phrases": report.number("unique_phrases") or 0,
        "per_box": report.number("unique_phrases_per_box") or 0,
        "boxes": report.number("candidate_boxes") or 0,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 3, 10, 30])
    parser.add_argument("--selection", default="all")
    parser.add_argument("--memory-limit", default=MEMORY_LIMIT, help="of DuckDB (default %(default)s)")
    parser.add_argument("--folder", help="keep the datasets here, and use those that are there")
    options = parser.parse_args()
    print(f"selection {options.selection}, {IMAGES_A_UNIT:,} images a unit, DuckDB's limit {options.memory_limit}")
    print(ROW.format(*COLUMNS), flush=True)
    for millions in options.millions:
        with tempfile.TemporaryDirectory(prefix="report-scale-") as temporary:
            dataset = str(Path(options.folder or temporary) / f"boxes-{millions:g}m")
            if not Path(dataset, "dataset.json").exists():
                write_generated(Store(dataset), int(millions * 1_000_000))
            found = in_own_process(measure, dataset, options.selection, options.memory_limit)
        print(
            ROW.format(
                f"{found['boxes']:,.0f}",
                f"{found['units']:,.0f}",
                f"{found['seconds']:.1f}",
                f"{found['cpu_seconds']:.1f}",
                f"{found['seconds'] / found['boxes'] * 1e6:.2f}",
                f"{found['peak_mib']:,.0f} MiB",
                f"{found['kept']:,.0f}",
                f"{found['unique_phrases']:,.0f}",
                f"{found['per_box']:.3f}",
            ),
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
