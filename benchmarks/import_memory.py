"""Time and memory of opening a large COCO detection JSON: ``python benchmarks/import_memory.py --megabytes 200``.

In: a size. Out: a line with seconds and the most memory the process had. The JSON is generated: 15 boxes an image, much
as in Objects365, images first. No picture is there: what is measured is finding the annotations, and reading those of
1,000 images spread over the file.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from engine.gold.detection import CocoDetection
from engine.gold.sources import GoldPlace

BOXES = 15
ROWS_READ = 1_000


def write_json(file: Path, megabytes: int) -> int:
    """Write the document; returns the number of its images."""
    image = {"id": 10_000_000, "file_name": "images/v1/patch0/objects365_v1_00000000.jpg", "width": 768, "height": 1024}
    box = {"id": 100_000_000, "image_id": 10_000_000, "category_id": 365, "iscrowd": 0, "isfake": 0, "area": 12345.678}
    box["bbox"] = [543.2233886784, 444.0961913344, 84.2233886784, 65.0961913344]
    images = megabytes * 1_000_000 // (len(json.dumps(image)) + BOXES * (len(json.dumps(box)) + 2) + 2)
    with file.open("w") as out:
        out.write('{"images": [')
        for number in range(images):
            named = {"id": number, "file_name": f"images/v1/patch0/objects365_v1_{number:08}.jpg"}
            out.write((", " if number else "") + json.dumps(image | named))
        out.write('], "annotations": [')
        for number in range(images * BOXES):
            out.write((", " if number else "") + json.dumps(box | {"id": number, "image_id": number % images}))
        categories = [{"id": number, "name": f"class {number}"} for number in range(1, 366)]
        out.write(f'], "categories": {json.dumps(categories)}}}')
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    megabytes = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "instances.json"
        images = write_json(file, megabytes)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        reader = CocoDetection(GoldPlace(file))
        opened = time.perf_counter() - start
        start = time.perf_counter()
        boxes = sum(len(reader.annotations_of(row)) for row in range(0, images, max(1, images // ROWS_READ)))
        read = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{file.name}: {megabytes} MB, {images:,} images, {images * BOXES:,} boxes; opened in {opened:.1f} s, "
        f"{boxes:,} boxes of {boxes // BOXES:,} images read in {read:.2f} s; memory {before / 1024:.0f} MB before, "
        f"{after / 1024:.0f} MB at most"
    )


if __name__ == "__main__":
    main()
