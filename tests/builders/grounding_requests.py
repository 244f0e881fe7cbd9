"""A caption of two phrases, and the request to find them in a picture: what teachers are asked in their tests."""

from __future__ import annotations

from schemas.records import CaptionedImage, GroundingRequest, Phrase, Prompt, PromptSpan

CAPTION = "a brown dog and two cats"
PHRASES = (Phrase("a brown dog", 0, 11, "dog"), Phrase("two cats", 16, 24, "cat"))
PROMPT = Prompt(CAPTION, (PromptSpan(0, 0, 11), PromptSpan(1, 16, 24)))


def request(key: str, image: bytes, prompts: tuple[Prompt, ...] = (PROMPT,)) -> GroundingRequest:
    """Both phrases in a picture, by one prompt or several."""
    return GroundingRequest(CaptionedImage(key, image, "jpg", CAPTION, "here"), PHRASES, prompts)
