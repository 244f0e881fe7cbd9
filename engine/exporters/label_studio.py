"""Writer of Label Studio tasks: ``tasks.json`` to be imported, ``config.xml`` for the project's labelling interface.

In: samples. Out: a task for each: picture, caption and phrases as ``data``; boxes in per cent of the picture, human
ones as an annotation, pseudo-labels as a prediction with scores. The labels to choose from are the task's own phrases
(``value="$phrases"``), since there is no fixed list of phrases. Pictures are served by Label Studio as local files
(``/data/local-files/?d=images/...``): set its document root to the folder of the export. Source: labelstud.io/guide,
pages task_format and predictions, and tags/rectanglelabels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from engine.artifacts import Store
from engine.exporters.documents import json_bytes, json_items, xywh
from schemas.shards import DatasetCard, SampleBox, SampleLabels

CONFIG = """<View>
  <Text name="text" value="$caption"/>
  <RectangleLabels name="phrase" toName="image" value="$phrases"/>
  <Image name="image" value="$image" zoom="true"/>
</View>
"""


@contextmanager
def label_studio(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``tasks.json``, with a task on each line, and ``config.xml``."""
    with store.writing("tasks.json") as file, json_items(file, b"[", b"]\n") as item:
        yield lambda labels, file_name: item(json_bytes(_task(labels, file_name, card)))
    store.write("config.xml", CONFIG.encode())


def _task(labels: SampleLabels, file_name: str, card: DatasetCard) -> dict[str, object]:
    texts = dict.fromkeys(phrase.text for phrase in labels.phrases)
    data = {
        "image": f"/data/local-files/?d={quote(f'images/{file_name}')}",
        "caption": labels.caption,
        "phrases": [{"value": text} for text in texts],
        "key": labels.key,
    }
    results = [_result(number, labels, box, card) for number, box in enumerate(labels.boxes)]
    if card.origin == "human":
        return {"data": data, "annotations": [{"result": results}]}
    best = max((box.score for box in labels.boxes), default=0.0)
    version = (card.teacher_digest or "unknown")[:12]
    return {"data": data, "predictions": [{"model_version": version, "score": best, "result": results}]}


def _result(number: int, labels: SampleLabels, box: SampleBox, card: DatasetCard) -> dict[str, object]:
    x, y, width, height = xywh(box.box_xyxy)
    phrase = labels.phrases[box.phrase]
    value = {
        "x": 100 * x / labels.width,
        "y": 100 * y / labels.height,
        "width": 100 * width / labels.width,
        "height": 100 * height / labels.height,
        "rotation": 0,
        "rectanglelabels": [phrase.text],
    }
    size = {"original_width": labels.width, "original_height": labels.height, "image_rotation": 0}
    score = {} if card.origin == "human" else {"score": box.score}
    kind = {"type": "rectanglelabels", "from_name": "phrase", "to_name": "image"}
    meta = {"text": [f"characters {phrase.start} to {phrase.end} of the caption"]}
    return {"id": f"box-{number}", **kind, **size, "value": value, "meta": meta, **score}
