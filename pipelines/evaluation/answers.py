"""What a grounder answers to a human-annotated dataset.

In: samples with gold phrases or classes. Out: :class:`~engine.metrics.ImageResult`, one a sample. A grounding dataset
is asked for the phrases of its captions; a detection dataset for all its classes, in prompts of class names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from engine.metrics import ImageResult
from engine.prompts import list_prompts, request_grounding
from engine.shards import LabelledImage
from schemas.class_prompts import AskedClass, asked_by_name
from schemas.records import (
    Answer,
    Candidate,
    CaptionedImage,
    Grounding,
    GroundingRequest,
    ParsedCaption,
    Phrase,
    Prompt,
    Reject,
)
from schemas.shards import DatasetCard
from teacher.protocol import Grounder
from teacher.worker import TeacherWorker

SAMPLES_AT_ONCE = 64

Ask = Callable[[ParsedCaption], "GroundingRequest | Reject"]


def answer_all(samples: Iterator[LabelledImage], ask: Ask, worker: TeacherWorker) -> Iterator[ImageResult]:
    """What the grounder answers to each sample, in order; a bounded number of pictures is held at once."""
    while batch := list(islice(samples, SAMPLES_AT_ONCE)):
        for sample, given in zip(batch, answer([as_question(one) for one in batch], ask, worker), strict=True):
            yield ImageResult(sample.labels, given.candidates if isinstance(given, Answer) else ())


def as_question(sample: LabelledImage) -> ParsedCaption:
    """A human-annotated sample without its boxes: all that a grounder may see of it."""
    labels = sample.labels
    source = CaptionedImage(labels.key, sample.image, sample.extension, labels.caption, labels.locator)
    return ParsedCaption(source, tuple(Phrase(p.text, p.start, p.end, p.head_lemma) for p in labels.phrases))


def open_ask(
    card: DatasetCard, grounder: Grounder, chunk_classes: int, asked: Mapping[str, AskedClass] | None = None
) -> Ask:
    """The function that makes a question of each sample: by the phrases of its caption, or by all classes of the
    dataset."""
    if card.task != "detection":
        return ask_phrases(grounder)
    prompts = class_prompts(card.classes, grounder, chunk_classes, asked)
    return lambda sample: GroundingRequest(sample.source, (), prompts)


def ask_phrases(grounder: Grounder) -> Ask:
    """The function that asks about each sample by the phrases of its caption."""
    return partial(_phrase_request, grounder=grounder)


def answer(samples: Sequence[ParsedCaption], ask: Ask, worker: TeacherWorker) -> list[Answer | Reject]:
    """What the grounder answers to each sample, in order; a Reject where there is nothing to ask, or the picture cannot
    be read."""
    requests = [ask(sample) for sample in samples]
    given = iter(worker.ground([one for one in requests if isinstance(one, GroundingRequest)]))
    return [
        _answer(sample, next(given)) if isinstance(request, GroundingRequest) else request
        for sample, request in zip(samples, requests, strict=True)
    ]


def _phrase_request(sample: ParsedCaption, grounder: Grounder) -> GroundingRequest | Reject:
    if not sample.phrases:
        return Reject(sample.source.key, "prompt", "no_phrase", "there is nothing to ask")
    return request_grounding(sample, grounder)


def _answer(sample: ParsedCaption, grounding: Grounding | Reject) -> Answer | Reject:
    """The answer with candidates numbered by the gold phrases. The request may number them otherwise, because phrases
    beyond the token budget were not asked for. Class prompts number the classes already."""
    if isinstance(grounding, Reject):
        return grounding
    if not grounding.phrases:
        return Answer(sample.source.key, grounding.candidates)
    numbers = {(phrase.start, phrase.end): number for number, phrase in enumerate(sample.phrases)}
    asked = [numbers[phrase.start, phrase.end] for phrase in grounding.phrases]
    numbered = (Candidate(asked[one.phrase], one.box_xyxy, one.score, one.agreement) for one in grounding.candidates)
    return Answer(sample.source.key, tuple(numbered))


def class_prompts(
    classes: Sequence[str], grounder: Grounder, chunk: int, asked: Mapping[str, AskedClass] | None = None
) -> tuple[Prompt, ...]:
    """Prompts of at most ``chunk`` class names, within the grounder's token budget.

    ``asked``: the texts to ask by instead of some names. Spans number the classes, and cover the words that boxes
    belong to.
    """
    texts = [(asked or {}).get(name) or asked_by_name(name) for name in classes]
    prompts = list_prompts([one.text for one in texts], grounder, chunk=chunk)
    return tuple(_of_the_words_that_count(prompt, texts) for prompt in prompts)


def _of_the_words_that_count(prompt: Prompt, texts: Sequence[AskedClass]) -> Prompt:
    narrowed = (
        replace(span, start=span.start + texts[span.phrase].start, end=span.start + texts[span.phrase].end)
        for span in prompt.spans
    )
    return replace(prompt, spans=tuple(narrowed))
