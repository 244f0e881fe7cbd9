"""From the labels of a sample to the text a student reads and the spans its boxes belong to.

Grounding samples keep their caption, among captions of other pictures where a recipe says so (caption packing: GLIP
paper, appendix). Detection samples are asked for by class names joined with ". ": the names in the picture and others
that are not, in random order (GLIP paper, section 3.1; SPEC section 9); or by the phrases that a recipe gives classes,
in which boxes belong to the words that count (``schemas.class_prompts``).

Nothing becomes a negative that may be in the picture: what one of its labels may also be called
(``engine.mix.NameRelations``), in whatever dataset of the mix it is labelled; of federated labels, what nobody looked
for, or what is annotated only in part.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.mix import NameRelations
from schemas.class_prompts import AskedClass, asked_by_name
from schemas.shards import SampleLabels

SEPARATOR = ". "
CountTokens = Callable[[str], int]
Span = tuple[int, int]
Asked = Mapping[str, AskedClass]
BY_NAME: Asked = {}


@dataclass(frozen=True, slots=True)
class TrainingPrompt:
    """A text and, for each phrase of the sample, its half-open character span in it (None: it is not in the text).

    ``others`` are the names in the text that are not in the picture, each with its span.
    """

    text: str
    spans: tuple[Span | None, ...]
    others: tuple[tuple[str, Span], ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """At most ``max_tokens`` tokens, as ``count`` counts them in a text."""

    max_tokens: int
    count: CountTokens

    def holds(self, text: str) -> bool:
        return self.count(text) <= self.max_tokens


def shown(labels: SampleLabels, known: Iterable[str] = ()) -> list[str]:
    """All that is said to be in a picture: its phrases, those annotated in part, and what other datasets ``known``."""
    names = [name for phrase in labels.phrases for name in (phrase.text, phrase.head_lemma)]
    return [*names, *(labels.incomplete_classes or ()), *known]


def packed_caption(
    labels: SampleLabels,
    others: Sequence[SampleLabels],
    relations: NameRelations,
    budget: Budget,
    random: np.random.Generator,
    known: Iterable[str] = (),
) -> TrainingPrompt:
    """The caption of a sample among those of ``others`` that name nothing which may be in its picture, in random order.

    As many of them, in their order, as the token budget holds; a caption without a phrase says nothing and is left out.
    """
    present = shown(labels, known)
    absent = [other for other in others if other.phrases and _names_nothing_of(present, other, relations)]
    while absent and not budget.holds(SEPARATOR.join([labels.caption, *(other.caption for other in absent)])):
        absent.pop()
    place = int(random.integers(len(absent) + 1))
    packed = [*absent[:place], labels, *absent[place:]]
    spans: tuple[Span, ...] = ()
    foreign: list[tuple[str, Span]] = []
    start = 0
    for sample in packed:
        placed = [(phrase.head_lemma, (start + phrase.start, start + phrase.end)) for phrase in sample.phrases]
        if sample is labels:
            spans = tuple(span for _, span in placed)
        else:
            foreign += placed
        start += len(sample.caption) + len(SEPARATOR)
    return TrainingPrompt(SEPARATOR.join(sample.caption for sample in packed), spans, tuple(foreign))


def _names_nothing_of(present: list[str], other: SampleLabels, relations: NameRelations) -> bool:
    heads = [phrase.head_lemma for phrase in other.phrases]
    return relations.unrelated(heads, present) == heads


def class_prompt(
    labels: SampleLabels,
    classes: list[str],
    relations: NameRelations,
    budget: Budget,
    random: np.random.Generator,
    *,
    max_negatives: int,
    known: Iterable[str] = (),
    asked: Asked = BY_NAME,
) -> TrainingPrompt:
    """The names of the classes that are there and of up to ``max_negatives`` that are not, in random order; or what is
    ``asked`` for them instead."""
    present = list(dict.fromkeys(phrase.text for phrase in labels.phrases))
    absent = absent_classes(labels, classes, relations, known, asked)
    count = min(max_negatives, len(absent))
    drawn = [absent[i] for i in random.choice(len(absent), size=count, replace=False)] if count else []
    names = fit_names(present, drawn, budget, asked)
    names = [names[i] for i in random.permutation(len(names))]
    text, spans = join_names(names, asked)
    here = set(present)
    others = tuple((name, span) for name, span in spans.items() if name not in here)
    return TrainingPrompt(text, tuple(spans.get(phrase.text) for phrase in labels.phrases), others)


def absent_classes(
    labels: SampleLabels,
    classes: list[str],
    relations: NameRelations,
    known: Iterable[str] = (),
    asked: Asked = BY_NAME,
) -> list[str]:
    """The classes that may be given as not in the picture, neither by their names nor by what is ``asked`` for them.
    Where the dataset is federated, those alone that somebody looked for in vain."""
    if labels.absent_classes is not None:
        looked_for = set(labels.absent_classes)
        classes = [name for name in classes if name in looked_for]
    present = [*shown(labels, known), *(asked[one.text].name for one in labels.phrases if one.text in asked)]
    unnamed = relations.unrelated(classes, present)
    words = {name: asked[name].name for name in unnamed if name in asked}
    unrelated = set(relations.unrelated(words.values(), present))
    return [name for name in unnamed if name not in words or words[name] in unrelated]


def fit_names(present: list[str], absent: list[str], budget: Budget, asked: Asked = BY_NAME) -> list[str]:
    """As many names as the token budget holds, and one at least; absent ones are left out first."""
    names = present + absent
    if budget.holds(join_names(names, asked)[0]):
        return names

    def are_too_many(count: int) -> bool:
        return not budget.holds(join_names(names[:count], asked)[0])

    fitting = bisect_left(range(1, len(names) + 1), True, key=are_too_many)
    return names[: max(1, fitting)]


def join_names(names: list[str], asked: Asked = BY_NAME) -> tuple[str, dict[str, Span]]:
    """The names as one text, or what is ``asked`` for them, and where the words of each stand in it."""
    texts: list[str] = []
    spans, start = {}, 0
    for name in names:
        one = asked.get(name) or asked_by_name(name)
        spans[name] = (start + one.start, start + one.end)
        texts.append(one.text)
        start += len(one.text) + len(SEPARATOR)
    return SEPARATOR.join(texts), spans
