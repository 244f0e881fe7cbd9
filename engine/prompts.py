"""Phrases of a caption -> prompts inside the teacher's token budget.

In: a caption and its phrases, or a list of names. Out: the caption itself where it fits (GLIP grounds phrases in their
sentence); otherwise stretches of it, cut between phrases and never inside one, each with as much of the caption around
its phrases as the budget holds. Names stand in lists ``a. b. c`` (GLIP section 3.1). Tokens are the teacher's own.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Protocol

from schemas.records import GroundingRequest, ParsedCaption, Phrase, Prompt, PromptSpan, Reject

SEPARATOR = ". "
_WORD = re.compile(r"\S+")


class TokenBudget(Protocol):
    """What of a prompt a teacher reads: as much of ``teacher.protocol.Grounder``."""

    @property
    def max_tokens(self) -> int: ...

    def count_tokens(self, text: str) -> int:
        """All tokens of a prompt, special ones too."""
        ...

    def phrase_fits(self, text: str) -> bool:
        """A phrase may have a limit of its own: OWLv2 asks phrase by phrase."""
        ...


def request_grounding(sample: ParsedCaption, budget: TokenBudget) -> GroundingRequest | Reject:
    """The question to the teacher about one sample.

    A phrase that alone is too long for the teacher is left out, whole: the request's phrases are those that are asked
    for. Where none remains the sample is a Reject ``phrase_too_long``.
    """
    phrases = tuple(phrase for phrase in sample.phrases if budget.phrase_fits(phrase.text))
    if not phrases:
        message = f"each of the {len(sample.phrases)} phrases has more tokens than the teacher reads"
        return Reject(sample.source.key, "prompt", "phrase_too_long", message)
    return GroundingRequest(sample.source, phrases, split_caption(sample.source.caption, phrases, budget))


def list_prompts(names: Sequence[str], budget: TokenBudget, *, chunk: int) -> tuple[Prompt, ...]:
    """Prompts of at most ``chunk`` names joined by ". "; spans carry the numbers of the names.

    Every name stands in exactly one prompt, uncut, in order; ValueError for a name too long for the teacher, which
    could never be found. No names give no prompt.
    """
    too_long = next((name for name in names if not budget.phrase_fits(name)), None)
    if too_long is not None:
        raise ValueError(f"the class name {too_long!r} has more tokens than the teacher reads; shorten it")
    prompts: list[Prompt] = []
    first = 0
    while first < len(names):
        count = min(chunk, len(names) - first)
        while count > 1 and not _reads(budget, SEPARATOR.join(names[first : first + count])):
            count -= 1
        prompts.append(_name_list(names[first : first + count], first))
        first += count
    return tuple(prompts)


def _reads(budget: TokenBudget, prompt: str) -> bool:
    return budget.count_tokens(prompt) <= budget.max_tokens


def split_caption(caption: str, phrases: Sequence[Phrase], budget: TokenBudget) -> tuple[Prompt, ...]:
    """The caption as one prompt where it is inside the budget, otherwise stretches of it that are.

    Every phrase, in order of start and each inside the budget, is asked for in exactly one prompt. Greedy: as many
    phrases in a stretch as fit; then words of the caption after and before it, so that a phrase keeps what can be had
    of its sentence. No stretch begins or ends inside a word or a phrase, unless phrases overlap.
    """

    def fits(start: int, end: int) -> bool:
        return _reads(budget, caption[start:end])

    if fits(0, len(caption)):
        return (_cut(caption, 0, len(caption), phrases, 0),)
    starts, ends = _cut_points(caption, phrases)
    prompts: list[Prompt] = []
    first = 0
    while first < len(phrases):
        start, end = phrases[first].start, phrases[first].end
        after = first + 1
        while after < len(phrases):
            longer = max(end, phrases[after].end)  # phrases may overlap when expressions are on
            if not fits(start, longer):
                break
            end, after = longer, after + 1
        wider_start, wider_end = _with_context(start, end, starts, ends, fits)
        prompts.append(_cut(caption, wider_start, wider_end, phrases[first:after], first))
        first = after
    return tuple(prompts)


def _with_context(
    start: int, end: int, starts: Sequence[int], ends: Sequence[int], fits: Callable[[int, int], bool]
) -> tuple[int, int]:
    """The stretch with as many words of the caption as fit, those after it first: English says what a thing does, or
    where it is, after naming it."""
    later = ends[bisect_right(ends, end) :]
    count = bisect_left(range(len(later)), True, key=lambda number: not fits(start, later[number]))
    end = later[count - 1] if count else end
    earlier = starts[: bisect_left(starts, start)][::-1]
    count = bisect_left(range(len(earlier)), True, key=lambda number: not fits(earlier[number], end))
    return (earlier[count - 1] if count else start), end


def _cut_points(caption: str, phrases: Sequence[Phrase]) -> tuple[list[int], list[int]]:
    """Where a stretch may begin and where it may end: at words and at phrases, never inside a phrase."""
    words = [match.span() for match in _WORD.finditer(caption)]
    inside = {place for phrase in phrases for place in range(phrase.start + 1, phrase.end)}
    starts = {start for start, _ in words} | {phrase.start for phrase in phrases}
    ends = {end for _, end in words} | {phrase.end for phrase in phrases}
    return sorted(starts - inside), sorted(ends - inside)


def _cut(caption: str, start: int, end: int, phrases: Sequence[Phrase], first: int) -> Prompt:
    spans = (
        PromptSpan(first + number, phrase.start - start, phrase.end - start) for number, phrase in enumerate(phrases)
    )
    return Prompt(caption[start:end], tuple(spans))


def _name_list(names: Sequence[str], first: int) -> Prompt:
    spans, end = [], -len(SEPARATOR)
    for number, name in enumerate(names, first):
        start = end + len(SEPARATOR)
        end = start + len(name)
        spans.append(PromptSpan(number, start, end))
    return Prompt(SEPARATOR.join(names), tuple(spans))
