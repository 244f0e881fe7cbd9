"""Untrusted XML annotations, parsed without entities or DTDs.

In: the bytes of a file. Out: its root element, and values in it. An entity bomb is refused before it grows
(defusedxml).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from schemas.records import BoxXYXY

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_XML_BYTES = 20_000_000
SIDES = ("xmin", "ymin", "xmax", "ymax")


def parse_xml(content: bytes) -> Element | str:
    """The root element, or in one line what is wrong with the XML."""
    if len(content) > MAX_XML_BYTES:
        return f"{len(content)} bytes, at most {MAX_XML_BYTES} are read"
    try:
        root: Element = fromstring(content, forbid_dtd=True)
        return root
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        return f"no XML: {' '.join(str(error).split())}"


def text_of(element: Element, path: str) -> str:
    """The text at ``path`` without surrounding white space; empty where there is none."""
    return (element.findtext(path) or "").strip()


def corners_of(item: Element) -> BoxXYXY | None:
    """The ``bndbox`` of an object as xyxy pixels from 0 (maybe NaN); None where it or a side is missing or no number.
    In the file, the first pixel is 1, and the last one belongs to the box."""
    bndbox = item.find("bndbox")
    if bndbox is None:
        return None
    try:
        x1, y1, x2, y2 = (float(text_of(bndbox, side)) for side in SIDES)
    except ValueError:
        return None
    return (x1 - 1, y1 - 1, x2, y2)


def size_of(root: Element) -> tuple[int, int] | None:
    """The width and height that an annotation states; None where it states none, or 0, as some tools write."""
    try:
        width, height = int(text_of(root, "size/width")), int(text_of(root, "size/height"))
    except ValueError:
        return None
    return (width, height) if min(width, height) > 0 else None
