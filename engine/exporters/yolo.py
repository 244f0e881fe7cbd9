"""Writer of YOLO's text files: ``labels/NAME.txt`` for each picture, ``data.yaml``.

In: samples. Out: a line for each box, ``class x_centre y_centre width height`` in shares of the picture, with nine
decimals, which keep a hundredth of a pixel. Source: Ultralytics, docs: datasets/detect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import yaml

from engine.artifacts import Store
from engine.exporters.categories import Categories
from engine.exporters.many_files import many_files
from schemas.shards import DatasetCard, SampleBox, SampleLabels


@contextmanager
def yolo(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``labels/`` and, at the end, ``data.yaml``."""
    categories = Categories(card)

    def add(labels: SampleLabels, file_name: str) -> None:
        lines = [f"{categories.number(labels.phrases[box.phrase])} {_shares(box, labels)}\n" for box in labels.boxes]
        write(f"labels/{PurePosixPath(file_name).stem}.txt", "".join(lines).encode())

    with many_files(store) as write:
        yield add
    # No "path": without it readers start from the file's own folder; with "." from the working directory.
    document = {"train": "images", "val": "images", "names": dict(enumerate(categories.names()))}
    store.write("data.yaml", yaml.safe_dump(document, allow_unicode=True, sort_keys=False).encode())


def _shares(box: SampleBox, labels: SampleLabels) -> str:
    x1, y1, x2, y2 = box.box_xyxy
    width, height = labels.width, labels.height
    shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return " ".join(f"{share:.9f}" for share in shares)
