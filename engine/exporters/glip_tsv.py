"""Writer of GLIP's caption TSV, the format of its pre-training data: ``dataset.yaml`` and the files that it names.

In: samples, with their pictures if these are wanted. Out: ``label.tsv`` (key, JSON of caption, boxes in xyxy pixels,
scores, and for each box the characters that name it), ``hw.tsv`` (sizes) and ``img.tsv`` (pictures in base64), each
with its ``.lineidx``. Keys are the names of pictures without their extension. Source: ``CaptionTSV`` (format v1) in
maskrcnn_benchmark/data/datasets/caption.py and tsv.py of microsoft/GLIP, which is in no package index; tests read the
files back with :mod:`engine.gold.glip_tsv`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath

import yaml

from engine.artifacts import Store
from engine.exporters.tsv_files import ascii_json, tsv_file
from schemas.shards import DatasetCard, SampleBox, SampleLabels

DOCUMENT = "dataset.yaml"


@contextmanager
def glip_tsv(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str, bytes | None], None]]:
    """Write the files; ``img.tsv`` only if samples come with pictures."""
    with ExitStack() as stack:
        label = stack.enter_context(tsv_file(store, "label"))
        hw = stack.enter_context(tsv_file(store, "hw"))
        pictures: list[Callable[[str, str], None]] = []

        def add(labels: SampleLabels, file_name: str, image: bytes | None) -> None:
            key = PurePosixPath(file_name).stem
            label(key, ascii_json(_label(labels)))
            hw(key, ascii_json([{"height": labels.height, "width": labels.width}]))
            if image is not None:
                if not pictures:
                    pictures.append(stack.enter_context(tsv_file(store, "img")))
                pictures[0](key, base64.b64encode(image).decode())

        yield add
        names = {"label": "label.tsv", "hw": "hw.tsv"} | ({"img": "img.tsv"} if pictures else {})
        store.write(DOCUMENT, yaml.safe_dump(names).encode())


def _label(labels: SampleLabels) -> dict[str, object]:
    boxes = sorted(labels.boxes, key=lambda box: _on_last_pixels(box, labels))
    spans = [(labels.phrases[box.phrase].start, labels.phrases[box.phrase].end) for box in boxes]
    return {
        "img_h": labels.height,
        "img_w": labels.width,
        "caption": labels.caption,
        "tokens_positive": [[list(span)] for span in spans],
        "bboxes": [list(box.box_xyxy) for box in boxes],
        "scores": [box.score for box in boxes],
    }


def _on_last_pixels(box: SampleBox, labels: SampleLabels) -> bool:
    """Whether a box lies on the last column or row of pixels. GLIP's reader, whose boxes end one pixel earlier, drops
    it and gives its phrase to the next box; of the last boxes there is no next one."""
    x1, y1, _, _ = box.box_xyxy
    return x1 >= labels.width - 1 or y1 >= labels.height - 1
