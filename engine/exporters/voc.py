"""Writer of Pascal VOC: ``Annotations/NAME.xml`` for each picture, ``labelmap.txt``, ``ImageSets/Main/train.txt``.

In: samples. Out: corners in pixels counted from 1, the last pixel included, with decimals where a box has some. The
label map keeps the order of the classes, and ``difficult`` boxes keep that flag. The list of all pictures, by which
most readers find them, is written last. Source: The PASCAL VOC Challenge 2012 Development Kit, sections 3 and 4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from engine.artifacts import Store
from engine.exporters.categories import Categories
from engine.exporters.many_files import many_files
from engine.gold.xml_files import SIDES
from schemas.shards import DatasetCard, SampleBox, SampleLabels

PICTURES = "ImageSets/Main/train.txt"
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@contextmanager
def voc(store: Store, card: DatasetCard) -> Iterator[Callable[[SampleLabels, str], None]]:
    """Write ``Annotations/`` and, at the end, ``labelmap.txt`` and the list of the pictures."""
    categories = Categories(card)

    def add(labels: SampleLabels, file_name: str) -> None:
        root = Element("annotation")
        _put(root, "folder", "JPEGImages")
        _put(root, "filename", file_name)
        size = SubElement(root, "size")
        for name, value in (("width", labels.width), ("height", labels.height), ("depth", 3)):
            _put(size, name, str(value))
        for box in labels.boxes:
            phrase = labels.phrases[box.phrase]
            categories.number(phrase)
            _put_object(root, _name(categories.name(phrase)), box)
        indent(root)
        name = PurePosixPath(file_name).stem
        write(f"Annotations/{name}.xml", tostring(root, encoding="utf-8"))
        pictures.write(f"{name}\n".encode())

    with store.writing(PICTURES) as pictures:
        with many_files(store) as write:
            yield add
        lines = ["# label:color_rgb:parts:actions", *(f"{_name(name)}:::" for name in categories.names())]
        store.write("labelmap.txt", "".join(f"{line}\n" for line in lines).encode())


def _put_object(root: Element, name: str, box: SampleBox) -> None:
    item = SubElement(root, "object")
    difficult = "1" if box.difficult else "0"
    for field, value in (("name", name), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", difficult)):
        _put(item, field, value)
    bndbox = SubElement(item, "bndbox")
    x1, y1, x2, y2 = box.box_xyxy
    for side, corner in zip(SIDES, (x1 + 1, y1 + 1, x2, y2), strict=True):
        _put(bndbox, side, f"{corner:.2f}".rstrip("0").rstrip("."))


def _name(name: str) -> str:
    """A class name as both the label map, where a colon ends a name, and XML, which forbids control characters, can
    hold it."""
    return " ".join(_NOT_IN_XML.sub("\ufffd", name).replace(":", " ").split())


def _put(parent: Element, name: str, text: str) -> None:
    """Add an element with a text, in which what XML forbids, such as control characters, becomes U+FFFD."""
    SubElement(parent, name).text = _NOT_IN_XML.sub("\ufffd", text)
