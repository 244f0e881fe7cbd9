"""Time and memory of opening a large COCO detection JSON: ``python benchmarks/import_memory.py --megabytes 250 1000``.

In: sizes. Out: a line a size with seconds, those of the processor alone too, the most memory that the process had, and
the temporary tables. The JSON is generated: 15 boxes an image, much as in Objects365, images first. No picture is
there: what is measured is finding the annotations (and those of no image), and reading those of 1,000 images spread
over the file. Each size has a process of its own, since a process cannot forget the most memory it had.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from own_process import in_own_process, peak_mib

from engine.gold.detection import CocoDetection
from engine.gold.sources import GoldPlace

BOXES = 15
ROWS_READ = 1_000
IMAGE = '{"id": %d, "file_name": "images/v1/patch0/objects365_v1_%08d.jpg", "width": 768, "height": 1024}'
BOX = (
    '{"id": %d, "image_id": %d, "category_id": 365, "iscrowd": 0, "isfake": 0, "area": 12345.678, '
    '"bbox": [543.2233886784, 444.0961913344, 84.2233886784, 65.0961913344]}'
)


def write_json(file: Path, megabytes: int) -> int:
    """Write the document; returns the number of its images."""
    images = megabytes * 1_000_000 // (len(IMAGE) + 17 + BOXES * (len(BOX) + 15))
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, 366)]
    with file.open("w") as out:
        out.write('{"images": [')
        _write_all(out, (IMAGE % (number, number) for number in range(images)))
        out.write('], "annotations": [')
        _write_all(out, (BOX % (number, number % images) for number in range(images * BOXES)))
        out.write(f'], "categories": {json.dumps(categories)}}}')
    return images


def _write_all(out: TextIO, items: Iterator[str]) -> None:
    out.write(next(items))
    out.writelines(f", {item}" for item in items)


def measure(file: Path, images: int) -> None:
    """Open the file, read some of its images, print a line of figures."""
    before = peak_mib()
    start, start_cpu = time.perf_counter(), time.process_time()
    reader = CocoDetection(GoldPlace(file))
    reader.homeless()
    reader.read(0, "")
    opened, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    start = time.perf_counter()
    boxes = sum(len(reader.annotations_of(row)) for row in range(0, images, max(1, images // ROWS_READ)))
    read = time.perf_counter() - start
    print(
        f"{file.stat().st_size / 1e6:,.0f} MB, {images:,} images, {images * BOXES:,} boxes; opened in {opened:.1f} s "
        f"({cpu:.1f} s of the processor), {boxes:,} boxes of {boxes // BOXES:,} images read in {read:.2f} s; memory "
        f"{before:.0f} MiB before, {peak_mib():.0f} MiB at most; tables of {_temporary_bytes() / 1e6:.0f} MB on "
        "disk",
        flush=True,
    )


def _temporary_bytes() -> int:
    """The bytes of the unnamed files that the process has open."""
    opened = [os.stat(file) for file in Path("/proc/self/fd").iterdir() if file.exists()]
    return sum(file.st_size for file in opened if file.st_nlink == 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[250, 1000, 2000])
    for megabytes in parser.parse_args().megabytes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "instances.json"
            in_own_process(measure, file, write_json(file, megabytes))


if __name__ == "__main__":
    main()
