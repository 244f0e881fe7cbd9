"""JSON texts, and digests of JSON values and of files, which identify work, sources and artefacts.

In: a JSON value, a document, or an open file. Out: its canonical text, or its SHA-256 in hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from pydantic import BaseModel

COPY_BYTES = 1 << 20


def canonical_json(value: Any) -> str:
    """The canonical JSON text of a value: sorted keys, no spaces, so that equal values have equal digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def document_bytes(document: BaseModel) -> bytes:
    """A document, or a recipe, as it is stored: indented JSON."""
    return (document.model_dump_json(indent=1) + "\n").encode()


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_of_list(values: Iterable[Any]) -> str:
    """The same digest as :func:`digest_of` gives for a list of these JSON values, with one at a time in memory. An
    iterator among them counts as a list."""
    digest = hashlib.sha256()
    for piece in _pieces(values):
        digest.update(piece.encode())
    return digest.hexdigest()


def _pieces(values: Iterable[Any]) -> Iterator[str]:
    yield "["
    for number, value in enumerate(values):
        yield "," if number else ""
        yield from _pieces(value) if isinstance(value, Iterator) else [canonical_json(value)]
    yield "]"


def digest_file(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of an open binary file, from its current position to its end."""
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(COPY_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
