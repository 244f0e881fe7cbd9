"""Writers of other projects' formats, one a file, and the table of all.

In: the labels of one sample after another, and the name of each picture. Out: files in a store, written as they come:
no dataset is held in memory. What each writes, :mod:`engine.gold` reads back.

    coco          detection JSON; of a grounding dataset the category is the phrase's head noun
    coco-phrases  captions.json and phrases.json: captions with phrase boxes
    odvg          JSON Lines of MM-Grounding-DINO
    mdetr         JSON of MDETR and GoldG
    yolo          a text file a picture, and data.yaml
    voc           an XML a picture, Pascal VOC
    grit          Parquet of Kosmos-2's grounded captions
    glip-tsv      GLIP's own captions with scored boxes, pictures inside
    gligen        captions with boxes for grounded generation, pictures inside
    xvlm          JSON Lines of captions and their regions
    label-studio  tasks for people to go on with
    fiftyone      detections to look at
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
from engine.exporters.fiftyone import fiftyone
from engine.exporters.gligen import gligen
from engine.exporters.glip_tsv import glip_tsv
from engine.exporters.grit import grit
from engine.exporters.label_studio import label_studio
from engine.exporters.mdetr import mdetr
from engine.exporters.odvg import odvg
from engine.exporters.voc import voc
from engine.exporters.xvlm import xvlm
from engine.exporters.yolo import yolo
from schemas.shards import DatasetCard

Add = Callable[..., None]
"""``add(labels, file_name)``; of a format that holds pictures itself ``add(labels, file_name, image)``, where ``image``
is the file's bytes, or None where no pictures are wanted."""
_NAME = re.compile(r'[^./\\\x00-\x1f\x7f:*?"<>|\ud800-\udfff-][^./\\\x00-\x1f\x7f:*?"<>|\ud800-\udfff]*')
_OF_WINDOWS = re.compile(r"con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]", re.IGNORECASE)  # devices, whatever the ending
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
MAX_NAME_BYTES = 200


class Exporter(NamedTuple):
    """``open(store, card)`` gives, for a ``with``, the function that takes one sample after another; files are there
    when the block ends without an error. ``image_folder`` is where the format has pictures, None where they stand in
    its own files."""

    open: Callable[[Store, DatasetCard], AbstractContextManager[Add]]
    image_folder: str | None


EXPORTERS: dict[str, Exporter] = {
    "coco": Exporter(coco, "images"),
    "coco-phrases": Exporter(coco_phrases, "images"),
    "odvg": Exporter(odvg, "images"),
    "mdetr": Exporter(mdetr, "images"),
    "yolo": Exporter(yolo, "images"),
    "voc": Exporter(voc, "JPEGImages"),
    "grit": Exporter(grit, "images"),
    "glip-tsv": Exporter(glip_tsv, None),
    "gligen": Exporter(gligen, None),
    "xvlm": Exporter(xvlm, "images"),
    "label-studio": Exporter(label_studio, "images"),
    "fiftyone": Exporter(fiftyone, "data"),
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
    may_be = _NAME.fullmatch(key) and not _OF_WINDOWS.fullmatch(key) and key == key.strip()
    if may_be and len(content) <= MAX_NAME_BYTES:
        return f"{key}.{extension}"
    return f"key-{hashlib.sha256(content).hexdigest()[:32]}.{extension}"
