"""Writer of MDETR's JSON, the format of GoldG: ``mdetr.json``.

In: samples. Out: for each sample an entry of ``images`` with its caption, for each box an entry of ``annotations`` with
the characters that name it. Source: see the reader, :mod:`engine.gold.mdetr`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from engine.artifacts import Store
from engine.exporters.coco import FIRST, box_entry, image_entry
from engine.exporters.documents import json_lists
from schemas.shards import DatasetCard, SampleLabels

# MDETR has a single class: what a box shows is told by the caption.
OBJECT = {"supercategory": "object", "id": FIRST, "name": "object"}
# The readers of GoldG's mixed file want it of each picture, and look for those of "coco" in another folder.
SOURCE = {"data_source": "glip-engine"}


@contextmanager
def mdetr(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``mdetr.json``."""
    image_ids, box_ids = count(FIRST), count(FIRST)
    with json_lists(store, "mdetr.json", ("images", "annotations")) as document:
        document.rest |= {"info": [], "licenses": [], "categories": [OBJECT]}

        def add(labels: SampleLabels, file_name: str) -> None:
            image_id = next(image_ids)
            caption = {"caption": labels.caption, "tokens_negative": [[0, len(labels.caption)]]}
            document.add("images", image_entry(image_id, labels, file_name) | caption | SOURCE)
            for box in labels.boxes:
                phrase = labels.phrases[box.phrase]
                tokens = {"tokens_positive": [[phrase.start, phrase.end]]}
                document.add("annotations", box_entry(next(box_ids), image_id, FIRST, box) | tokens)

        yield add
