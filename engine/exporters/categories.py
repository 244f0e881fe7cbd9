"""Numbers of classes, for formats that know classes and no phrases.

In: phrases. Out: a number from 0 for the class of each: of a detection dataset the classes of its card in their order,
of a grounding dataset the phrases' head nouns as they come. Memory grows with the number of different classes alone.
"""

from __future__ import annotations

from schemas.shards import DatasetCard, SamplePhrase


class Categories:
    """The classes so far."""

    def __init__(self, card: DatasetCard) -> None:
        self._of_heads = card.task == "grounding"
        self._numbers = {name: number for number, name in enumerate(card.classes)}

    def name(self, phrase: SamplePhrase) -> str:
        """The name of the phrase's class."""
        return phrase.head_lemma if self._of_heads and phrase.head_lemma.strip() else phrase.text

    def number(self, phrase: SamplePhrase) -> int:
        """The number of the phrase's class, a new one where it is new."""
        return self._numbers.setdefault(self.name(phrase), len(self._numbers))

    def names(self) -> list[str]:
        """The names by number."""
        return list(self._numbers)
