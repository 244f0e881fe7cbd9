"""Class numbers, for formats that have classes instead of phrases.

In: phrases. Out: the number of each one's class, from 0: in a detection dataset the classes of its card in their order,
in a grounding dataset the phrases' head nouns in the order of their first occurrence. Memory grows only with the number
of different classes.
"""

from __future__ import annotations

from schemas.shards import DatasetCard, SamplePhrase


class Categories:
    """The classes that have occurred so far; in a detection dataset, all classes of its card."""

    def __init__(self, card: DatasetCard) -> None:
        self._of_heads = card.task == "grounding"
        self._numbers = {name: number for number, name in enumerate(card.classes)}

    def name(self, phrase: SamplePhrase) -> str:
        """The name of the phrase's class."""
        return phrase.head_lemma if self._of_heads and phrase.head_lemma.strip() else phrase.text

    def number(self, phrase: SamplePhrase) -> int:
        """The number of the phrase's class; a new class gets the next number."""
        return self.number_of(self.name(phrase))

    def number_of(self, name: str) -> int:
        """The number of a class; a new one gets the next number."""
        return self._numbers.setdefault(name, len(self._numbers))

    def names(self) -> list[str]:
        """The class names, ordered by number."""
        return list(self._numbers)
