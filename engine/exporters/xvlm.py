"""Writer of X-VLM's region JSON Lines: ``xvlm.jsonl``.

In: samples. Out: for each a line with ``image`` (a path beside the file), ``caption``, and ``elems``: for each box its
phrase as ``caption`` and ``bb``, x, y, width and height in whole pixels inside the picture, rounded outwards, since its
reader cuts decimals off and refuses a box without area. Boxes of pseudo-labels also have their ``score``, which it
ignores. Source: ``RegionTextJsonDataset`` in dataset/pretrain_dataset.py of zengyan-97/X-VLM, which is in no package
index.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.artifacts import Store
from engine.exporters.documents import json_bytes
from schemas.shards import DatasetCard, SampleBox, SampleLabels


@contextmanager
def xvlm(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``xvlm.jsonl``."""
    with store.writing("xvlm.jsonl") as file:

        def elem(labels: SampleLabels, box: SampleBox) -> dict[str, object]:
            score = {} if card.origin == "human" else {"score": box.score}
            return {"caption": labels.phrases[box.phrase].text, "bb": whole_pixels(box), **score}

        def add(labels: SampleLabels, file_name: str) -> None:
            elems = [elem(labels, box) for box in labels.boxes]
            file.write(json_bytes({"image": f"images/{file_name}", "caption": labels.caption, "elems": elems}) + b"\n")

        yield add


def whole_pixels(box: SampleBox) -> list[int]:
    """The smallest box of whole pixels around ``box``, as x, y, width, height. The box must have an area; if it is
    inside the picture, so is the result."""
    x1, y1, x2, y2 = box.box_xyxy
    left, top = math.floor(x1), math.floor(y1)
    return [left, top, math.ceil(x2) - left, math.ceil(y2) - top]
