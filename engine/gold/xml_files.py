"""XML annotations at the boundary: parsed without entities or DTDs, numbers read as numbers.

In: a file. Out: its root element. An entity bomb is refused before it grows (defusedxml).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_XML_BYTES = 20_000_000
SIDES = ("xmin", "ymin", "xmax", "ymax")


def parse_xml(content: bytes) -> Element | str:
    """The root element, or in one line why there is none."""
    if len(content) > MAX_XML_BYTES:
        return f"{len(content)} bytes, at most {MAX_XML_BYTES} are read"
    try:
        root: Element = fromstring(content, forbid_dtd=True)
        return root
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:  # the latter of an unknown encoding
        return f"no XML: {' '.join(str(error).split())}"


def text_of(element: Element, path: str) -> str:
    """The text at ``path`` without the white space around it, empty where there is none."""
    return (element.findtext(path) or "").strip()


def whole_number(element: Element, path: str) -> int | None:
    """The whole number at ``path``, None where there is none."""
    try:
        return int(text_of(element, path))
    except ValueError:
        return None


def corners_of(bndbox: Element) -> tuple[float, ...] | None:
    """xmin, ymin, xmax, ymax as written (they may be NaN), None where one is missing or no number."""
    try:
        return tuple(float(text_of(bndbox, side)) for side in SIDES)
    except ValueError:
        return None


def size_of(root: Element) -> tuple[int, int] | None:
    """Width and height that an annotation states, None where it states none (0, as some tools write)."""
    width, height = whole_number(root, "size/width"), whole_number(root, "size/height")
    return (width, height) if width and height and width > 0 and height > 0 else None
