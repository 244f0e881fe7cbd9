"""Writers of other projects' formats, each in a file of its own, and the table of all.

In: the labels of one sample after another, and the name of each picture. Out: files in a store, written sample by
sample: no dataset is held in memory. :mod:`engine.gold` reads most of the formats back.

    coco          detection JSON; in a grounding dataset the category is the phrase's head noun
    coco-phrases  captions.json and phrases.json: captions with phrase boxes
    odvg          JSON Lines of MM-Grounding-DINO
    mdetr         JSON of MDETR and GoldG
    yolo          a text file for each picture, and data.yaml
    voc           an XML file for each picture, Pascal VOC
    grit          Parquet of Kosmos-2's grounded captions
    glip-tsv      GLIP's own captions with scored boxes, pictures inside
    gligen        captions with boxes for grounded generation, pictures inside
    xvlm          JSON Lines of captions and their regions
    label-studio  tasks for people to continue
    fiftyone      detections to look at
"""

from __future__ import annotations

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
"""``add(labels, file_name)``; in a format that contains the pictures ``add(labels, file_name, image)``, where ``image``
is the file's bytes, or None if no pictures are wanted."""


class Exporter(NamedTuple):
    """``open(store, card)``: a context that gives the function to call for each sample; the files appear when it ends
    without an error. ``image_folder``: the folder of the format's pictures, None if its own files contain them."""

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
