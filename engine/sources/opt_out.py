"""Whether the owner of a picture forbids, by the header ``X-Robots-Tag``, that machines learn from it.

In: the values of that header. Out: the directive that forbids, or None.
Source: the header's grammar (developers.google.com/search/docs/crawling-indexing/robots-meta-tag): directives separated
by commas, all of them optionally addressed to one crawler by ``name:``; ``noai`` and ``noimageai`` are DeviantArt's.
"""

from __future__ import annotations

from collections.abc import Iterable

# Directives with a value: the word before their colon is no crawler's name.
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def forbidding_directive(values: Iterable[str], forbidding: Iterable[str], own_name: str) -> str | None:
    """The first directive of ``forbidding`` that is addressed to everyone or to ``own_name``, else None.

    >>> forbidding_directive(["otherbot: noai", "noindex, NoImageAI"], ["noai", "noimageai"], "glip-engine")
    'noimageai'
    """
    wanted = {one.lower() for one in forbidding}
    for value in values:
        name, directives = _addressed_to(value.lower())
        if name in ("", "*", own_name.lower()):
            found = next((one.strip() for one in directives.split(",") if one.strip() in wanted), None)
            if found:
                return found
    return None


def _addressed_to(value: str) -> tuple[str, str]:
    """The crawler's name, empty for all, and the directives."""
    name, colon, rest = value.partition(":")
    if not colon or "," in name or name.strip() in _WITH_VALUE:
        return "", value
    return name.strip(), rest
