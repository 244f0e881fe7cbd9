"""Records as nested dictionaries and lists, as they cross a process or a file in Arrow, and back.

In: a record of the flow (:mod:`schemas.records`). Out: plain values in the shape of its ``arrow_type``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemas.records import Candidate, CaptionedImage, Phrase, Prompt, PromptSpan, Record


def to_plain(value: Any) -> Any:
    """A record as nested dictionaries and lists, the shape of its ``arrow_type``; bytes are not copied."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: to_plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return value


def _phrases(plain: list[dict[str, Any]]) -> tuple[Phrase, ...]:
    return tuple(Phrase(**item) for item in plain)


def _prompt(plain: dict[str, Any]) -> Prompt:
    return Prompt(plain["text"], tuple(PromptSpan(**span) for span in plain["spans"]))


def _candidate(plain: dict[str, Any]) -> Candidate:
    x1, y1, x2, y2 = plain["box_xyxy"]
    return Candidate(plain["phrase"], (x1, y1, x2, y2), plain["score"], plain["agreement"])


_READ_FIELD: dict[str, Callable[[Any], Any]] = {
    "source": lambda plain: CaptionedImage(**plain),
    "phrases": _phrases,
    "prompts": lambda plain: tuple(_prompt(item) for item in plain),
    "candidates": lambda plain: tuple(_candidate(item) for item in plain),
}


def from_plain(record_type: type[Record], plain: dict[str, Any]) -> Record:
    """The inverse of :func:`to_plain` for every record of the flow."""
    return record_type(**{name: _READ_FIELD.get(name, lambda same: same)(value) for name, value in plain.items()})
