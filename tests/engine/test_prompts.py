"""Prompts: the caption whole where it fits, otherwise stretches that hold every phrase uncut, exactly once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompts import list_prompts, request_grounding
from schemas.records import (
    CaptionedImage,
    GroundingRequest,
    ParsedCaption,
    Phrase,
    Prompt,
    PromptSpan,
    Reject,
    StageTally,
    Unit,
    UnitRef,
)


@dataclass(frozen=True)
class Words:
    """A budget in which a word is a token; a phrase has ``longest`` words at most, where that is given."""

    max_tokens: int
    longest: int | None = None

    def count_tokens(self, text: str) -> int:
        return len(text.split()) + 2

    def phrase_fits(self, text: str) -> bool:
        return self.count_tokens(text) <= self.max_tokens if self.longest is None else len(text.split()) <= self.longest


def parsed(caption: str, spans: list[tuple[int, int]]) -> ParsedCaption:
    image = CaptionedImage("k", b"", "jpg", caption, "here")
    phrases = tuple(Phrase(caption[start:end], start, end, "x") for start, end in spans)
    return ParsedCaption(image, phrases)


def ask(sample: ParsedCaption, max_tokens: int) -> GroundingRequest | Reject:
    return request_grounding(sample, Words(max_tokens))


def test_a_caption_that_fits_is_its_own_prompt() -> None:
    request = ask(parsed("a dog on a sofa", [(0, 5), (9, 15)]), 7)
    assert isinstance(request, GroundingRequest)
    assert [prompt.text for prompt in request.prompts] == ["a dog on a sofa"]


def test_a_caption_one_token_too_long_is_cut_between_phrases() -> None:
    request = ask(parsed("a dog on a sofa", [(0, 5), (9, 15)]), 6)
    assert isinstance(request, GroundingRequest)
    assert [prompt.text for prompt in request.prompts] == ["a dog on", "on a sofa"]


def test_a_stretch_takes_as_much_of_the_caption_around_its_phrases_as_fits() -> None:
    caption = "in the old town a dog sleeps on a sofa while two cats watch it from the window"
    spans = [(caption.index(text), caption.index(text) + len(text)) for text in ("a dog", "a sofa", "two cats")]
    request = ask(parsed(caption, spans), 10)
    assert isinstance(request, GroundingRequest)
    assert [prompt.text for prompt in request.prompts] == [
        "town a dog sleeps on a sofa while",
        "while two cats watch it from the window",
    ]
    assert [[span.phrase for span in prompt.spans] for prompt in request.prompts] == [[0, 1], [2]]


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
    assert [prompt.text for prompt in request.prompts] == ["a dog in a wide field of flowers near", "near a sofa"]
    assert [[span.phrase for span in prompt.spans] for prompt in request.prompts] == [[0, 1], [2]]


def test_where_phrases_have_a_limit_of_their_own_the_caption_stays_whole_and_only_they_are_left_out() -> None:
    sample = parsed("one two three four five, a dog", [(0, 23), (25, 30)])
    request = request_grounding(sample, Words(1000, longest=3))
    assert isinstance(request, GroundingRequest)
    assert [phrase.text for phrase in request.phrases] == ["a dog"]
    assert request.prompts == (Prompt("one two three four five, a dog", (PromptSpan(0, 25, 30),)),)


def test_phrases_left_out_are_counted_and_a_sample_dropped_whole_is_counted_once() -> None:
    caption = "one two three four five, a dog"
    samples = [parsed(caption, [(0, 23), (25, 30)]), parsed(caption, [(0, 23)]), parsed("a dog", [(0, 5)])]
    unit = Unit(UnitRef(0, "here", 0, 3), tuple(samples)).advance("prompt", [ask(one, 4) for one in samples], 0.0)
    assert unit.tallies == (StageTally("prompt", 3, 2, 0.0, phrases_left_out=1),)
    assert [reject.reason for reject in unit.rejects] == ["phrase_too_long"]


def test_the_names_of_a_list_stand_in_prompts_of_a_chunk_inside_the_budget() -> None:
    names = [f"kind {number}" for number in range(100)]
    prompts = list_prompts(names, Words(1000), chunk=40)
    assert [len(prompt.spans) for prompt in prompts] == [40, 40, 20]
    prompts = list_prompts(names, Words(8), chunk=40)  # three names have just as many
    assert {len(prompt.spans) for prompt in prompts} == {3, 1}
    assert [prompt.text[span.start : span.end] for prompt in prompts for span in prompt.spans] == names
    assert [span.phrase for prompt in prompts for span in prompt.spans] == list(range(100))
    assert list_prompts([], Words(9), chunk=40) == ()


def test_a_name_that_the_teacher_does_not_read_whole_is_an_error_not_a_cut() -> None:
    with pytest.raises(ValueError, match="'a very long name of a thing' has more tokens"):
        list_prompts(["dog", "a very long name of a thing"], Words(6), chunk=40)


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
    assert all(Words(0).count_tokens(prompt.text) <= max_tokens for prompt in request.prompts)
    assert [phrase for phrase in request.phrases if phrase in fitting] == fitting
