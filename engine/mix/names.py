"""Names that may mean the same thing, so that no name becomes a negative of a picture that shows it.

In: names of classes and phrases. Out: whether two names are related. They are if one equals the other, has its head
("two dogs" and "a dog"), is contained in it ("hot dog" and "dog", "dog" and "dog collar"), is a synonym of it, or is a
kind of it ("man" and "person"). Cautious on purpose: a missing negative costs little, a false one teaches the opposite
of what the picture shows.

Synonyms and kinds are those of ``engine/mix/kinds.py``, or WordNet's where a recipe asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.mix import kinds, wordnet
from engine.noun_phrases.lemmas import noun_lemma
from schemas.recipes import Synonyms

_ASIDE = re.compile(r"\([^)]*\)|[_/]")
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_AFTER_HEAD = re.compile(r"\s+(?:of|with|in|on|at|for|from|by|and|or|to|that|who|which)\s+")
# Words that say nothing about what a thing is.
EMPTY_WORDS = """
a an the this that these those some any his her its their my your our of two three four five six several many
"""
_EMPTY = frozenset(EMPTY_WORDS.split())
KEPT_NAMES = 65_536  # about a kilobyte each; bounded, since web captions never stop bringing new names
Lookup = Callable[[str], frozenset[str]]
SOURCES: dict[Synonyms, tuple[Lookup, Lookup]] = {
    "rules": (kinds.synonyms_of, kinds.kinds_of),
    "wordnet": (wordnet.synonyms_of, wordnet.kinds_of),
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a name: ``own`` are its synonyms, ``all`` adds the kinds it belongs to and the words in it."""

    own: frozenset[str]
    all: frozenset[str]


class NameRelations:
    """Finds names that may mean the same thing; caches the meanings of recent names. Safe in several threads."""

    def __init__(self, synonyms: Synonyms = "rules") -> None:
        """Raises ValueError where ``synonyms`` is "wordnet" and its data is not installed."""
        self._synonyms, self._kinds = SOURCES[synonyms]
        if synonyms == "wordnet":
            wordnet.open_wordnet()
        self._known = lru_cache(KEPT_NAMES)(self._look_up)

    def meaning(self, name: str) -> Meaning:
        """The meaning of a name; a name without words means only itself."""
        return self._known(name)

    def unrelated(self, names: Iterable[str], present: Iterable[str]) -> list[str]:
        """The ``names``, in order, that are related to none of those ``present``."""
        meanings = [self.meaning(name) for name in present]
        own = frozenset[str]().union(*(meaning.own for meaning in meanings))
        everything = frozenset[str]().union(*(meaning.all for meaning in meanings))
        return [
            name
            for name in names
            if self.meaning(name).own.isdisjoint(everything) and self.meaning(name).all.isdisjoint(own)
        ]

    def matrix(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """``[N, N]``: which of the names are related; false on the diagonal."""
        meanings = [self.meaning(name) for name in names]
        holders: dict[str, list[int]] = {}
        for place, meaning in enumerate(meanings):
            for word in meaning.all:
                holders.setdefault(word, []).append(place)
        found = np.zeros((len(names), len(names)), dtype=bool)
        for place, meaning in enumerate(meanings):
            for word in meaning.own:
                found[place, holders[word]] = True
        found |= found.T
        np.fill_diagonal(found, False)
        return found

    def _look_up(self, name: str) -> Meaning:
        words = content_lemmas(name)
        whole, head = " ".join(words), head_lemma(name)
        own = self._synonyms(whole) | self._synonyms(head) | {name.lower()}
        broader = self._kinds(whole) | self._kinds(head)
        return Meaning(own, own | broader | frozenset(words))


def content_lemmas(name: str) -> list[str]:
    """The lemmas of a name's words, without articles and numbers; for "Two dogs_(wild)": ["dog"]."""
    words = _WORD.findall(_ASIDE.sub(" ", name.lower()))
    return [lemma(word) for word in words if word not in _EMPTY]


def head_lemma(name: str) -> str:
    """The lemma of the noun that a name is about: the last word of its first part ("a glass of water": "glass")."""
    words = content_lemmas(_AFTER_HEAD.split(_ASIDE.sub(" ", name.lower()).strip(), maxsplit=1)[0])
    return words[-1] if words else name.lower()


def lemma(word: str) -> str:
    """The lemma of a word that may be a plural. Class names have no tags to tell; singulars stay as they are."""
    return noun_lemma(word, plural=True)
