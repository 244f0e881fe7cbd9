"""The numbers of a small dataset in plain Python, which knows nothing of tables or SQL."""

from __future__ import annotations

from collections import Counter
from statistics import fmean, median

from counted_datasets import Counted

from engine.noun_phrases.lemmas import noun_lemma
from schemas.shards import SampleBox, SampleLabels

_DETERMINERS = "a an the this that these those some any each every another other its his her their my your our"
DETERMINERS = frozenset(_DETERMINERS.split())


def lemma_form(text: str, head: str) -> str:
    words = text.lower().split(" ")
    if len(words) > 1 and words[0] in DETERMINERS:
        words = words[1:]
    if head in (noun_lemma(words[-1], False), noun_lemma(words[-1], True)):
        words[-1] = head
    return " ".join(words)


def grounded(kept: list[SampleLabels]) -> list[tuple[str, str, int]]:
    """Text, head lemma and boxes of every phrase with a box."""
    found = []
    for labels in kept:
        for number, boxes in Counter(box.phrase for box in labels.boxes).items():
            found.append((labels.phrases[number].text, labels.phrases[number].head_lemma, boxes))
    return found


def boxes_of(kept: list[SampleLabels]) -> list[tuple[SampleLabels, SampleBox]]:
    return [(labels, box) for labels in kept for box in labels.boxes]


def area(box: SampleBox) -> float:
    x1, y1, x2, y2 = box.box_xyxy
    return (x2 - x1) * (y2 - y1)


def plain_numbers(counted: Counted, kept: list[SampleLabels]) -> dict[str, float]:
    manifests, boxes, phrases = counted.manifests, boxes_of(kept), grounded(kept)
    lower = Counter(text.lower() for text, _, _ in phrases)
    files = [labels.image_sha256 for labels in kept]
    captions = {labels.caption for labels in kept}
    scores = sorted(box.score for _, box in boxes)
    seconds = [one.seconds for one in manifests]
    hours = sum(seconds) / 3600
    pairs = sum(map(len, counted.samples)) + sum(map(len, counted.rejects))
    return {
        "source_pairs": pairs,
        "samples": sum(map(len, counted.samples)),
        "parsed_phrases": sum(len(one.phrases) for one in counted.labels()),
        "candidate_boxes": sum(len(one.boxes) for one in counted.labels()),
        "rejected_pairs": sum(map(len, counted.rejects)),
        "pairs_per_second": pairs / sum(seconds),
        "work_seconds": sum(seconds),
        "seconds_per_unit": fmean(seconds),
        "median_seconds_per_unit": median(seconds),
        "cost": hours * 2.5,
        "cost_per_unit": hours * 2.5 / len(manifests),
        "cost_per_million_pairs": hours * 2.5 / pairs * 1e6,
        "images": len(kept),
        "distinct_images": len(set(files)),
        "repeated_images": len(files) - len(set(files)),
        "captions": len(captions),
        "boxes": len(boxes),
        "phrases": len(phrases),
        "unique_phrases": len(lower),
        "unique_phrases_as_written": len({text for text, _, _ in phrases}),
        "unique_phrase_lemmas": len({lemma_form(text, head) for text, head, _ in phrases}),
        "unique_head_lemmas": len({head for _, head, _ in phrases}),
        "boxes_per_image": len(boxes) / len(kept),
        "boxes_per_phrase": len(boxes) / len(phrases),
        "boxes_per_caption": len(boxes) / len(captions),
        "phrases_per_image": len(phrases) / len(kept),
        "unique_phrases_per_box": len(lower) / len(boxes),
        "seen_once_share": sum(count == 1 for count in lower.values()) / len(lower),
        "median_score": median(scores),
        "score_p05": percentile(scores, 5),
        "score_p95": percentile(scores, 95),
        "mean_score": fmean(scores),
        "small_boxes_share": fmean(area(box) < 1024 for _, box in boxes),
        "large_boxes_share": fmean(area(box) >= 9216 for _, box in boxes),
        "mean_image_pixels": fmean(labels.width * labels.height for labels in kept),
    }


def percentile(ordered: list[float], percent: int) -> float:
    """The value at this place; the mean of two where the place lies between them."""
    place = len(ordered) * percent
    if place % 100:
        return ordered[place // 100]
    pair = {ordered[place // 100 - 1], ordered[place // 100]}
    return fmean(pair)
