"""Reader of LVIS JSON, v0.5 and v1: COCO's layout, federated.

In: a JSON file, or the folder with one ``lvis*.json``, with the images beside it, in COCO's folders or flat. Out: a row
for each image. LVIS is not annotated completely: of the classes without boxes only those of ``neg_category_ids`` are
known to be absent, and those of ``not_exhaustive_category_ids`` have more things than boxes.
Source: LVIS (Gupta et al. 2019), section 3; lvisdataset.org/dataset. v1 names an image by its ``coco_url`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from engine.gold.detection import CocoDetection
from engine.gold.sources import GoldPlace


def lvis_detection(place: GoldPlace) -> CocoDetection:
    """The reader of LVIS; errors as those of COCO's."""
    return CocoDetection(place, files=("lvis*.json", "annotations/lvis*.json"), read_image=_with_file_name)


def _with_file_name(folders: Sequence[Path], item: Any) -> Any:
    """The image with a file name: its own, or from its url ``val2017/000000000139.jpg``, or only the last part of that
    where the folders are flat."""
    url = item.get("coco_url") if isinstance(item, dict) else None
    if not isinstance(url, str) or "file_name" in item:
        return item
    path = PurePosixPath(urlsplit(url).path)
    nested = any((folder / path.parent.name).is_dir() for folder in folders)
    return {**item, "file_name": f"{path.parent.name}/{path.name}" if nested else path.name}
