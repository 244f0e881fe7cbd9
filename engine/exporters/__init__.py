"""Writers of other projects' formats, one a file, and the table of all.

In: the labels of one sample after another, and the name of each picture. Out: files in a store, written as they come:
no dataset is held in memory. What each writes, :mod:`engine.gold` reads back.

    coco          detection JSON; of a grounding dataset the category is the phrase's head noun
    coco-phrases  captions.json and phrases.json: captions with phrase boxes
    odvg          JSON Lines of MM-Grounding-DINO
    mdetr         JSON of MDETR and GoldG
    yolo          a text file a picture, and data.yaml
    voc           an XML a picture, Pascal VOC
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from engine.artifacts import Store
from engine.exporters.coco import coco
from engine.exporters.coco_phrases import coco_phrases
from engine.exporters.mdetr import mdetr
from engine.exporters.odvg import odvg
from engine.exporters.voc import voc
from engine.exporters.yolo import yolo
from schemas.shards import DatasetCard, SampleLabels

Add = Callable[[SampleLabels, str], None]
_NAME = re.compile(r'[^./\\\x00-\x1f\x7f:*?"<>|\ud800-\udfff-][^./\\\x00-\x1f\x7f:*?"<>|\ud800-\udfff]*')
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
MAX_NAME_BYTES = 200


class Exporter(NamedTuple):
    """``open(store, card)`` gives, for a ``with``, the function that takes the labels of a sample and the name of its
    picture; files are there when the block ends without an error. ``image_folder`` is where the format has pictures."""

    open: Callable[[Store, DatasetCard], AbstractContextManager[Add]]
    image_folder: str


EXPORTERS: dict[str, Exporter] = {
    "coco": Exporter(coco, "images"),
    "coco-phrases": Exporter(coco_phrases, "images"),
    "odvg": Exporter(odvg, "images"),
    "mdetr": Exporter(mdetr, "images"),
    "yolo": Exporter(yolo, "images"),
    "voc": Exporter(voc, "JPEGImages"),
}


def image_name(key: str, extension: str) -> str:
    """The name of a sample's picture in an export: its key, or a digest of it where no file may be called so on every
    system, or where it might lead elsewhere.

    >>> image_name("000000012", "jpg"), image_name("../../etc/passwd", "jpg")
    ('000000012.jpg', 'key-3754d6cb3a38e1185e5b382d5f3ef3f1.jpg')
    """
    if not _EXTENSION.fullmatch(extension):
        raise ValueError(f"sample {key!r}: extension {extension!r} of its picture is not lower-case letters and digits")
    content = key.encode(errors="surrogatepass")
    if _NAME.fullmatch(key) and key == key.strip() and len(content) <= MAX_NAME_BYTES:
        return f"{key}.{extension}"
    return f"key-{hashlib.sha256(content).hexdigest()[:32]}.{extension}"
