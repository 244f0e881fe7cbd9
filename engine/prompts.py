"""Phrases of a caption -> prompts inside the teacher's token budget.

In: a caption and its phrases. Out: the caption itself where it fits (GLIP grounds phrases in their sentence); otherwise
stretches of it, cut between phrases and never inside one. Tokens are the teacher's own: it brings ``count_tokens``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.records import GroundingRequest, ParsedCaption, Phrase, Prompt, PromptSpan, Reject

CountTokens = Callable[[str], int]


def request_grounding(
    sample: ParsedCaption, *, max_tokens: int, count_tokens: CountTokens
) -> GroundingRequest | Reject:
    """The question to the teacher about one sample.

    A phrase that alone exceeds ``max_tokens`` is left out; where none remains the sample is a Reject
    ``phrase_too_long``. ``count_tokens`` counts all tokens of a prompt, special ones too.
    """
    caption = sample.source.caption
    if count_tokens(caption) <= max_tokens:
        return GroundingRequest(sample.source, sample.phrases, (_cut(caption, 0, len(caption), sample.phrases, 0),))
    phrases = tuple(phrase for phrase in sample.phrases if count_tokens(phrase.text) <= max_tokens)
    if not phrases:
        message = f"each of the {len(sample.phrases)} phrases has more than the teacher's {max_tokens} tokens"
        return Reject(sample.source.key, "prompt", "phrase_too_long", message)
    prompts = split_caption(caption, phrases, max_tokens=max_tokens, count_tokens=count_tokens)
    return GroundingRequest(sample.source, phrases, prompts)


def split_caption(
    caption: str, phrases: Sequence[Phrase], *, max_tokens: int, count_tokens: CountTokens
) -> tuple[Prompt, ...]:
    """Stretches of the caption of at most ``max_tokens``, each from the start of a phrase to the end of one.

    Every phrase, in order of start and each inside the budget, stands in exactly one stretch. Greedy: as many phrases
    in a stretch as fit, so that a phrase keeps as much of its sentence as can be had.
    """
    prompts: list[Prompt] = []
    first = 0
    while first < len(phrases):
        start, end = phrases[first].start, phrases[first].end
        after = first + 1
        while after < len(phrases):
            longer = max(end, phrases[after].end)  # phrases may overlap when expressions are on
            if count_tokens(caption[start:longer]) > max_tokens:
                break
            end, after = longer, after + 1
        prompts.append(_cut(caption, start, end, phrases[first:after], first))
        first = after
    return tuple(prompts)


def _cut(caption: str, start: int, end: int, phrases: Sequence[Phrase], first: int) -> Prompt:
    spans = (
        PromptSpan(first + number, phrase.start - start, phrase.end - start) for number, phrase in enumerate(phrases)
    )
    return Prompt(caption[start:end], tuple(spans))
