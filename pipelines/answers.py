"""What a grounder answers to a human-annotated dataset.

In: samples with gold phrases or classes. Out: :class:`~engine.metrics.ImageResult`, one a sample. A grounding dataset
is asked for the phrases of its captions; a detection dataset for all its classes, in prompts of class names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from engine.metrics import ImageResult
from engine.prompts import list_prompts, request_grounding
from engine.shards import LabelledImage
from schemas.records import (
    Candidate,
    CaptionedImage,
    Grounding,
    GroundingRequest,
    ParsedCaption,
    Phrase,
    Prompt,
    Reject,
)
from schemas.shards import DatasetCard, SampleLabels
from teacher.grounder import Grounder
from teacher.worker import TeacherWorker

SAMPLES_AT_ONCE = 64

Advance = Callable[[int], None]


def answer_all(
    samples: Iterator[LabelledImage],
    card: DatasetCard,
    grounder: Grounder,
    worker: TeacherWorker,
    chunk_classes: int,
    advance: Advance = lambda count: None,
) -> Iterator[ImageResult]:
    """What the grounder answers to each sample, in order; a bounded number of pictures is held at once."""
    prompts = class_prompts(card.classes, grounder, chunk_classes) if card.task == "detection" else None
    while batch := list(islice(samples, SAMPLES_AT_ONCE)):
        if prompts is None:
            asked = [_phrase_request(sample, grounder) for sample in batch]
        else:
            asked = [GroundingRequest(_source(sample), (), prompts) for sample in batch]
        requests = [request for request in asked if isinstance(request, GroundingRequest)]
        answers: Iterator[Grounding | Reject] = iter(worker.ground(requests))
        for sample, request in zip(batch, asked, strict=True):
            answer = next(answers) if isinstance(request, GroundingRequest) else request
            yield ImageResult(sample.labels, _candidates(sample.labels, answer, prompts is not None))
        advance(len(batch))


def _source(sample: LabelledImage) -> CaptionedImage:
    labels = sample.labels
    return CaptionedImage(labels.key, sample.image, sample.extension, labels.caption, labels.locator)


def _phrase_request(sample: LabelledImage, grounder: Grounder) -> GroundingRequest | Reject:
    phrases = tuple(Phrase(p.text, p.start, p.end, p.head_lemma) for p in sample.labels.phrases)
    if not phrases:
        return Reject(sample.labels.key, "prompt", "no_phrase", "there is nothing to ask")
    parsed = ParsedCaption(_source(sample), phrases)
    return request_grounding(
        parsed, max_tokens=grounder.max_tokens, count_tokens=grounder.count_tokens, phrase_fits=grounder.phrase_fits
    )


def _candidates(gold: SampleLabels, answer: Grounding | Reject, detection: bool) -> tuple[Candidate, ...]:
    """The answer's candidates, numbered by the gold phrases: a phrase beyond the token budget was not asked for, so
    the request's own numbers may differ. Class prompts number the classes already."""
    if isinstance(answer, Reject):
        return ()
    if detection:
        return answer.candidates
    numbers = {(phrase.start, phrase.end): number for number, phrase in enumerate(gold.phrases)}
    asked = [numbers[phrase.start, phrase.end] for phrase in answer.phrases]
    return tuple(Candidate(asked[one.phrase], one.box_xyxy, one.score, one.agreement) for one in answer.candidates)


def class_prompts(classes: Sequence[str], grounder: Grounder, chunk: int) -> tuple[Prompt, ...]:
    """Prompts of at most ``chunk`` class names inside the grounder's token budget; their spans number the classes."""
    return list_prompts(
        classes,
        chunk=chunk,
        max_tokens=grounder.max_tokens,
        count_tokens=grounder.count_tokens,
        phrase_fits=grounder.phrase_fits,
    )
