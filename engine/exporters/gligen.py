"""Writer of GLIGEN's TSV, captions with boxes for grounded generation: ``gligen.tsv`` and its ``.lineidx``.

In: samples, with their pictures if these are wanted. Out: for each a line with a number, and JSON with ``data_id``,
``file_name``, ``caption``, ``image`` (base64) and ``annos``: ``bbox`` (x, y, width, height in pixels),
``tokens_positive`` and the ``score``. For a detection dataset ``is_det`` is true and each box has its
``category_name``. GLIGEN also needs CLIP ViT-L/14 embeddings of each phrase and crop (``text_embedding_before`` and
three more); they are not made here, and its reader does not start without them. Source: DATA/README.MD and
dataset/tsv_dataset.py of gligen/GLIGEN, which is in no package index.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from engine.artifacts import Store
from engine.exporters.categories import Categories
from engine.exporters.documents import xywh
from engine.exporters.tsv_files import ascii_json, tsv_file
from schemas.shards import DatasetCard, SampleBox, SampleLabels


@contextmanager
def gligen(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str, bytes | None], None]]:
    """Write ``gligen.tsv``."""
    numbers, categories = count(), Categories(card)
    with tsv_file(store, "gligen") as line:

        def anno(labels: SampleLabels, box: SampleBox) -> dict[str, object]:
            phrase = labels.phrases[box.phrase]
            name = {"category_name": categories.name(phrase)} if card.task == "detection" else {}
            place = {"bbox": xywh(box.box_xyxy), "tokens_positive": [[phrase.start, phrase.end]], "score": box.score}
            return place | name

        def add(labels: SampleLabels, file_name: str, image: bytes | None) -> None:
            number = next(numbers)
            item: dict[str, object] = {
                "data_id": number,
                "file_name": file_name,
                "is_det": card.task == "detection",
                "caption": labels.caption,
                "annos": [anno(labels, box) for box in labels.boxes],
            }
            if image is not None:
                item["image"] = base64.b64encode(image).decode()
            line(str(number), ascii_json(item))

        yield add
