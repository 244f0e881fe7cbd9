"""What is left out before the teacher sees it: one pure function and one reason for each rule, all in the tables below.

In: samples as the source has them, or with their phrases; a :class:`~schemas.recipes.FiltersRecipe`. Out: the same
samples, or a Reject that says why not; phrases of the stop list are taken out of samples that go on with their others.
A picture whose header cannot be read goes on: the teacher's stage rejects it with the exact reason.

To add a rule: a field of the recipe, a function here that gives a message where the sample breaks it, a line in its
table. Rules about boxes are no filters: boxes are stored low and cut when read (``engine.selection``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from engine.filtering.caption_language import LanguageIdentifier
from engine.filtering.image_identity import identified
from engine.filtering.leaks import LeakGuard
from schemas.pictures import open_picture_file
from schemas.recipes import FiltersRecipe
from schemas.records import CaptionedImage, ParsedCaption, Phrase, Reject, Unit

STAGE = "filter"
PHRASE_STAGE = "filter_phrases"

SizeWH = tuple[int, int]
CaptionRule = Callable[[str, FiltersRecipe], str | None]
ImageRule = Callable[[SizeWH, FiltersRecipe], str | None]


def caption_chars_below_min(caption: str, recipe: FiltersRecipe) -> str | None:
    count, least = len(caption.strip()), recipe.min_caption_chars
    return None if least is None or count >= least else f"{count} characters, at least {least} (min_caption_chars)"


def caption_words_below_min(caption: str, recipe: FiltersRecipe) -> str | None:
    count, least = len(caption.split()), recipe.min_caption_words
    return None if least is None or count >= least else f"{count} words, at least {least} (min_caption_words)"


def caption_words_above_max(caption: str, recipe: FiltersRecipe) -> str | None:
    count, most = len(caption.split()), recipe.max_caption_words
    return None if most is None or count <= most else f"{count} words, at most {most} (max_caption_words)"


def image_side_below_min(size_wh: SizeWH, recipe: FiltersRecipe) -> str | None:
    side, least = min(size_wh), recipe.min_image_side
    if least is None or side >= least:
        return None
    return f"{size_wh[0]} x {size_wh[1]} pixels, each side at least {least} (min_image_side)"


def image_aspect_above_max(size_wh: SizeWH, recipe: FiltersRecipe) -> str | None:
    most = recipe.max_image_aspect
    if most is None or max(size_wh) <= most * min(size_wh):
        return None
    return f"{size_wh[0]} x {size_wh[1]} pixels, one side at most {most:g} times the other (max_image_aspect)"


# Reason > rule, cheapest first. The name of a reason says the failure.
CAPTION_RULES: dict[str, CaptionRule] = {
    "caption_chars_below_min": caption_chars_below_min,
    "caption_words_below_min": caption_words_below_min,
    "caption_words_above_max": caption_words_above_max,
}
IMAGE_RULES: dict[str, ImageRule] = {
    "image_side_below_min": image_side_below_min,
    "image_aspect_above_max": image_aspect_above_max,
}


class SampleFilter:
    """The rules on samples, and the guard against pictures that models are evaluated on; opened once in a process."""

    def __init__(self, recipe: FiltersRecipe, guard: LeakGuard | None = None) -> None:
        """ValueError where the recipe asks for languages and they cannot be identified here."""
        self._recipe = recipe
        self._guard = guard
        self._identifier = LanguageIdentifier(recipe) if recipe.languages else None
        self._reads_headers = recipe.min_image_side is not None or recipe.max_image_aspect is not None

    def __call__(self, unit: Unit[CaptionedImage]) -> list[CaptionedImage | Reject]:
        """A stage's work: each record of the unit, or the Reject that :meth:`check` gives."""
        return [self.check(sample) or self._guarded(sample) for sample in unit.records]

    def check(self, sample: CaptionedImage) -> Reject | None:
        """The first rule that a sample breaks, as a Reject of stage ``filter``; None where it may go on."""
        broken = next(self._broken(sample), None)
        return None if broken is None else Reject(sample.key, STAGE, *broken)

    def _guarded(self, sample: CaptionedImage) -> CaptionedImage | Reject:
        """The sample, identified where there is a guard, unless its picture is one of the guard's."""
        if self._guard is None:
            return sample
        sample = identified(sample)
        leak = self._guard.find(sample)
        return sample if leak is None else Reject(sample.key, STAGE, *leak)

    def _broken(self, sample: CaptionedImage) -> Iterator[tuple[str, str]]:
        """The broken rules as (reason, message), found one at a time: no picture is opened for a sample whose caption
        is out."""
        for reason, caption_rule in CAPTION_RULES.items():
            if message := caption_rule(sample.caption, self._recipe):
                yield reason, message
        if self._identifier and (message := self._identifier.other_language(sample.caption)):
            yield "caption_language_other", message
        size_wh = image_size(sample.image) if self._reads_headers else None
        for reason, image_rule in IMAGE_RULES.items():
            if size_wh is not None and (message := image_rule(size_wh, self._recipe)):
                yield reason, message


def image_size(encoded: bytes) -> SizeWH | None:
    """Width and height by the header, without decoding; None where there is no header that can be read."""
    try:
        with warnings.catch_warnings(action="ignore"), open_picture_file(encoded) as image:
            return image.size
    except Exception:  # hostile bytes make a decoder raise anything
        return None


# ------------------------------------------------------------------------------------------------------- the phrases


class PhraseStopList:
    """The phrases that ``stop_phrases`` leaves out."""

    def __init__(self, stop_phrases: Sequence[str]) -> None:
        self._stopped = frozenset(" ".join(phrase.casefold().split()) for phrase in stop_phrases)

    def __call__(self, unit: Unit[ParsedCaption]) -> list[ParsedCaption | Reject]:
        """A stage's work: :meth:`drop` on the records of a unit."""
        return [self.drop(sample) for sample in unit.records]

    def drop(self, sample: ParsedCaption) -> ParsedCaption | Reject:
        """The sample with its other phrases, or a Reject ``phrases_all_stopped`` of stage ``filter_phrases``."""
        phrases = tuple(phrase for phrase in sample.phrases if not self.stops(phrase))
        if phrases:
            return replace(sample, phrases=phrases)
        message = f"each of its phrases is on the stop list: {', '.join(p.text for p in sample.phrases)[:200]!r}"
        return Reject(sample.source.key, PHRASE_STAGE, "phrases_all_stopped", message)

    def stops(self, phrase: Phrase) -> bool:
        """Whether the end of the phrase is on the list, as written or with its head in the singular."""
        words = phrase.text.casefold().split()
        forms = (words, [*words[:-1], phrase.head_lemma])
        return any(" ".join(form[start:]) in self._stopped for form in forms for start in range(len(form)))
