"""From the labels of a sample to the text a student reads and the spans its boxes belong to.

Grounding samples keep their caption, among captions of other pictures where a recipe says so. Detection samples are
asked for by class names joined with ". ": the names in the picture and others that are not, in random order (GLIP
paper, section 3.1 and appendix; SPEC section 9).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.shards import SampleLabels

SEPARATOR = ". "


@dataclass(frozen=True, slots=True)
class TrainingPrompt:
    """A text and, for each phrase of the sample, its half-open character span in it (None: it is not in the text)."""

    text: str
    spans: tuple[tuple[int, int] | None, ...]


def packed_caption(labels: SampleLabels, others: Sequence[SampleLabels], random: np.random.Generator) -> TrainingPrompt:
    """The caption of a sample among the captions of ``others``, whose head nouns it has not, in random order."""
    heads = {phrase.head_lemma.lower() for phrase in labels.phrases}
    absent = [
        other.caption for other in others if not any(phrase.head_lemma.lower() in heads for phrase in other.phrases)
    ]
    place = int(random.integers(len(absent) + 1))
    before = "".join(caption + SEPARATOR for caption in absent[:place])
    after = "".join(SEPARATOR + caption for caption in absent[place:])
    spans = tuple((len(before) + phrase.start, len(before) + phrase.end) for phrase in labels.phrases)
    return TrainingPrompt(before + labels.caption + after, spans)


def class_prompt(
    labels: SampleLabels,
    classes: list[str],
    *,
    max_negatives: int,
    max_tokens: int,
    count_tokens: Callable[[str], int],
    random: np.random.Generator,
) -> TrainingPrompt:
    """The names of the classes that are there and of some that are not, in random order.

    ``count_tokens`` gives the length of a text as the model reads it.
    """
    present = list(dict.fromkeys(phrase.text for phrase in labels.phrases))
    absent = absent_classes(labels, classes)
    count = min(max_negatives, len(absent))
    drawn = [absent[i] for i in random.choice(len(absent), size=count, replace=False)] if count else []
    names = fit_names(present, drawn, max_tokens, count_tokens)
    names = [names[i] for i in random.permutation(len(names))]
    text, spans = join_names(names)
    return TrainingPrompt(text, tuple(spans.get(phrase.text) for phrase in labels.phrases))


def absent_classes(labels: SampleLabels, classes: list[str]) -> list[str]:
    """The classes that may be given as not in the picture: another name than any phrase's, and another head noun. Where
    the dataset is federated, those alone that somebody looked for in vain."""
    if labels.absent_classes is not None:
        classes = [name for name in classes if name in labels.absent_classes]
    names = {phrase.text.lower() for phrase in labels.phrases}
    heads = {_singular(phrase.head_lemma.lower()) for phrase in labels.phrases}
    return [name for name in classes if name.lower() not in names and _singular(_head(name)) not in heads]


def fit_names(present: list[str], absent: list[str], max_tokens: int, count_tokens: Callable[[str], int]) -> list[str]:
    """As many names as the token budget holds; absent ones are left out first."""
    names = present + absent
    while len(names) > 1 and count_tokens(SEPARATOR.join(names)) > max_tokens:
        names = names[: max(1, min(len(names) - 1, int(len(names) * 0.9)))]
    return names


def join_names(names: list[str]) -> tuple[str, dict[str, tuple[int, int]]]:
    """The names as one text, and where each stands in it."""
    spans, start = {}, 0
    for name in names:
        spans[name] = (start, start + len(name))
        start += len(name) + len(SEPARATOR)
    return SEPARATOR.join(names), spans


def _head(name: str) -> str:
    words = name.lower().split()
    return words[-1] if words else ""


def _singular(word: str) -> str:
    """A crude singular, good enough to tell that "cars" must not be a negative beside "car"."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
