"""WordNet's synonyms and kinds of a noun (Miller, CACM 1995), read by NLTK where its data is installed.

In: a lemma. Out: names. Only the first sense counts, which is the most frequent one: a "dog" is also a chap, and with
all senses no picture of a dog could have "man" as a negative. Threads wait for each other, since NLTK seeks in files
that all of them share.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

_ONE_AT_A_TIME = threading.Lock()


@lru_cache(maxsize=1)
def open_wordnet() -> Any:
    """NLTK's reader of WordNet. ValueError, saying what to do, where NLTK or the data is not installed."""
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
    """The synonyms of a lemma, including itself."""
    with _ONE_AT_A_TIME:
        first = _first_sense(lemma)
        return (frozenset() if first is None else _names(first)) | {lemma}


def kinds_of(lemma: str) -> frozenset[str]:
    """The names of all kinds that the thing belongs to, up to the most general."""
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
