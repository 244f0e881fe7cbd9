"""WordNet's synonyms and kinds of a noun, where its data is installed (Miller, CACM 1995), read by NLTK.

Goes in: a lemma; comes out: names. The first sense alone is taken, which is the most frequent one: a "dog" is also a
chap, and no picture of a dog would have "man" as a negative. One thread is answered at a time, since NLTK moves about
in files that all threads share.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

_ONE_AT_A_TIME = threading.Lock()


@lru_cache(maxsize=1)
def open_wordnet() -> Any:
    """NLTK's reader. ValueError, saying what to do, where the data is not installed."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        raise ValueError(
            "synonyms: wordnet needs WordNet's data, which is not installed; run `python -m nltk.downloader wordnet`, "
            "or choose `synonyms: rules`"
        ) from None
    return wordnet


def synonyms_of(lemma: str) -> frozenset[str]:
    """The names of the same thing, its own among them."""
    with _ONE_AT_A_TIME:
        first = _first_sense(lemma)
        return (frozenset() if first is None else _names(first)) | {lemma}


def kinds_of(lemma: str) -> frozenset[str]:
    """The names of all that the thing is a kind of, up to the most general."""
    with _ONE_AT_A_TIME:
        first = _first_sense(lemma)
        if first is None:
            return frozenset()
        kinds = first.closure(lambda sense: sense.hypernyms() + sense.instance_hypernyms())
        return frozenset[str]().union(*(_names(kind) for kind in kinds)) - {lemma}


def _first_sense(lemma: str) -> Any:
    senses = open_wordnet().synsets(lemma.replace(" ", "_"), pos="n")
    return senses[0] if senses else None


def _names(sense: Any) -> frozenset[str]:
    return frozenset(name.lower().replace("_", " ") for name in sense.lemma_names())
