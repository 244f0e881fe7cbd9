"""How a comparison of two labellings grows with the boxes: ``python benchmarks/label_diff.py [--millions 1 3 10]``.

For each size a dataset is generated into a temporary folder (``benchmarks/generated_boxes.py``: tables and manifests,
no shards), and a second one of it, whose tables lack every tenth box and have every tenth moved by a tenth of its
width. Then a process of its own does ``glip-engine diff``. Prints seconds by the clock and of all cores, the peak
memory of that process, and what was found. A few boxes have no area: these match nothing, and are lost and gained.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from generated_boxes import write_generated
from own_process import in_own_process, peak_mib

from engine.artifacts import Store
from engine.box_tables import MEMORY_LIMIT
from engine.shards import annotations_name, committed_units

ROW = "{:>12} {:>8} {:>8} {:>11} {:>12} {:>12} {:>12} {:>8}"
COLUMNS = ("boxes", "seconds", "CPU s", "peak", "in both", "moved", "lost", "gained")


def write_changed(before: Store, after: Store) -> None:
    """Write the dataset ``before`` as another teacher might have labelled it."""
    shutil.copytree(before.root, after.root)
    for unit in committed_units(after):
        path = after.path(annotations_name(unit))
        pq.write_table(changed(pq.read_table(path)), path, compression="zstd")


def changed(boxes: pa.Table) -> pa.Table:
    """The boxes without every tenth one, and with every tenth moved to the right."""
    number = np.arange(len(boxes)) % 10
    left, right = (boxes[side].to_numpy() for side in ("x1", "x2"))
    step = np.where(number == 1, (right - left) / 10, 0).astype(np.float32)
    for side, corners in (("x1", left), ("x2", right)):
        place = boxes.schema.get_field_index(side)
        boxes = boxes.set_column(place, boxes.schema.field(place), pa.chunked_array([corners + step]))
    return boxes.filter(pa.array(number != 0))


def measure(before: str, after: str) -> dict[str, float]:
    """Compare two datasets in this process: seconds, memory, and what was found."""
    from pipelines.diff import ALL, diff

    started, cpu_started = time.perf_counter(), time.process_time()
    found = diff(before, after, selection=ALL, progress=False)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu_started,
        "peak_mib": peak_mib(),
        "boxes": found.boxes.both + found.boxes.lost,
        "both": found.boxes.both,
        "moved": sum(band.boxes for band in found.bands[1:]),
        "lost": found.boxes.lost,
        "gained": found.boxes.gained,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 3, 10], help="of boxes in the first dataset")
    options = parser.parse_args()
    print(f"DuckDB's limit {MEMORY_LIMIT}")
    print(ROW.format(*COLUMNS), flush=True)
    for millions in options.millions:
        with tempfile.TemporaryDirectory(prefix="label-diff-") as folder:
            before, after = Store(Path(folder) / "before"), Store(Path(folder) / "after")
            write_generated(before, int(millions * 1_000_000))
            write_changed(before, after)
            found = in_own_process(measure, before.root, after.root)
        took = f"{found['seconds']:.1f}", f"{found['cpu_seconds']:.1f}", f"{found['peak_mib']:,.0f} MiB"
        counts = (f"{found[name]:,}" for name in ("both", "moved", "lost", "gained"))
        print(ROW.format(f"{found['boxes']:,}", *took, *counts), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
