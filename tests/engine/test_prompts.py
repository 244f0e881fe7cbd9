"""Prompts: the caption whole where it fits, otherwise stretches that hold every phrase uncut, exactly once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.prompts import request_grounding
from schemas.records import CaptionedImage, GroundingRequest, ParsedCaption, Phrase, Reject

PER_WORD = {"count_tokens": lambda text: len(text.split()) + 2}


def parsed(caption: str, spans: list[tuple[int, int]]) -> ParsedCaption:
    image = CaptionedImage("k", b"", "jpg", caption, "here")
    phrases = tuple(Phrase(caption[start:end], start, end, "x") for start, end in spans)
    return ParsedCaption(image, phrases)


def ask(sample: ParsedCaption, max_tokens: int) -> GroundingRequest | Reject:
    return request_grounding(sample, max_tokens=max_tokens, **PER_WORD)


def test_a_caption_that_fits_is_its_own_prompt() -> None:
    request = ask(parsed("a dog on a sofa", [(0, 5), (9, 15)]), 7)
    assert isinstance(request, GroundingRequest)
    assert [prompt.text for prompt in request.prompts] == ["a dog on a sofa"]


def test_a_caption_one_token_too_long_is_cut_between_phrases() -> None:
    request = ask(parsed("a dog on a sofa", [(0, 5), (9, 15)]), 6)
    assert isinstance(request, GroundingRequest)
    assert [prompt.text for prompt in request.prompts] == ["a dog", "a sofa"]


def test_a_phrase_longer_than_the_budget_is_left_out_and_the_others_stay() -> None:
    request = ask(parsed("one two three four five, a dog", [(0, 23), (25, 30)]), 4)
    assert isinstance(request, GroundingRequest)
    assert [phrase.text for phrase in request.phrases] == ["a dog"]
    assert [prompt.text for prompt in request.prompts] == ["a dog"]


def test_a_sample_whose_every_phrase_is_too_long_is_a_reject() -> None:
    outcome = ask(parsed("one two three four five", [(0, 23)]), 4)
    assert isinstance(outcome, Reject)
    assert outcome.reason == "phrase_too_long"


def test_phrases_that_overlap_stay_whole() -> None:
    caption = "a dog in a wide field of flowers near a sofa"
    request = ask(parsed(caption, [(0, 32), (9, 21), (38, 44)]), 11)
    assert isinstance(request, GroundingRequest)
    assert [prompt.text for prompt in request.prompts] == ["a dog in a wide field of flowers", "a sofa"]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=30), st.integers(4, 12), st.integers(1, 3))
def test_every_phrase_stands_uncut_in_exactly_one_prompt_inside_the_budget(
    lengths: list[int], max_tokens: int, gap: int
) -> None:
    caption, spans = "", []
    for length in lengths:
        spans.append((len(caption), len(caption) + 2 * length - 1))
        caption += " ".join("w" * length) + " " + "g " * gap
    sample = parsed(caption, spans)
    request = ask(sample, max_tokens)
    fitting = [phrase for phrase in sample.phrases if len(phrase.text.split()) + 2 <= max_tokens]
    if not fitting:
        assert isinstance(request, Reject)
        return
    assert isinstance(request, GroundingRequest)
    found = [(span.phrase, prompt.text[span.start : span.end]) for prompt in request.prompts for span in prompt.spans]
    assert found == [(number, phrase.text) for number, phrase in enumerate(request.phrases)]
    assert all(PER_WORD["count_tokens"](prompt.text) <= max_tokens for prompt in request.prompts)
    assert [phrase for phrase in request.phrases if phrase in fitting] == fitting
