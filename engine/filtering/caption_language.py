"""In which language a caption is written; the only file that imports py3langid.

In: a caption. Out: whether it can be in one of the languages wanted. py3langid (BSD, needs numpy alone) brings a model
of 5 MB and asks no network; it is the extra ``language``. A larger one (lingua: a wheel of 96 MB) is surer of single
words, but a filter needs to be sure only of what it rejects.
Source: Lui and Baldwin, "langid.py: An Off-the-shelf Language Identification Tool" (ACL 2012).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

from schemas.recipes import FiltersRecipe

MAX_CHARS = 2000  # more does not change the answer


class LanguageIdentifier:
    """The model is opened once in a process."""

    def __init__(self, recipe: FiltersRecipe) -> None:
        """ValueError where py3langid is missing, or knows none by a name that the recipe asks for."""
        try:
            self._identifier = _identifier()
        except ImportError as error:
            raise ValueError(
                "filters.languages needs py3langid, which is not installed: pip install 'glip-engine[language]'"
            ) from error
        self._wanted = frozenset(recipe.languages)
        self._min_probability = recipe.min_language_probability
        unknown = sorted(self._wanted - set(self._identifier.labels))
        if unknown:
            raise ValueError(
                f"filters.languages: {', '.join(unknown)} is not among the languages that can be identified: "
                f"{', '.join(sorted(set(self._identifier.labels)))}"
            )

    def other_language(self, caption: str) -> str | None:
        """A message that names the language, where it is another one; None for a wanted one, and where the caption
        leaves it open, as a few words do."""
        readable = _readable(caption)
        ranked = self._identifier.rank(readable)
        probability = sum(share for language, share in ranked if language in self._wanted)
        if probability >= self._min_probability:
            return None
        wanted = ", ".join(sorted(self._wanted))
        return (
            f"more probably {ranked[0][0]} than {wanted}, which has {probability:.4f} (languages): {readable[:100]!r}"
        )


def count_languages(captions: Iterable[str]) -> Counter[str]:
    """Captions by the language that they are most probably in (ISO 639-1). ImportError where py3langid is missing."""
    identifier = _identifier()
    return Counter(identifier.rank(_readable(caption))[0][0] for caption in captions)


def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return _opened(LanguageIdentifier, MODEL_FILE)


@cache
def _opened(kind: Any, file: Any) -> Any:
    """The identifier, cached for the process, which may make many reports: its model is unpacked from LZMA."""
    return kind.from_model_file(file, norm_probs=True)


def _readable(caption: str) -> str:
    """The part of a caption that is long enough to decide, without lone surrogates."""
    return caption[:MAX_CHARS].encode("utf-8", "replace").decode()
