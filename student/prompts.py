"""The prompt of a training sample: the text that the student reads, and the span of each phrase in it.

Grounding samples keep their caption, packed with captions of other pictures where the recipe says so (caption packing:
GLIP paper, appendix). The prompt of a detection sample is class names joined with ". ": those in the picture and others
that are not, in random order (GLIP paper, section 3.1; SPEC section 9); or the phrases that a recipe gives for classes,
in which boxes belong to the words that count (``schemas.class_prompts``).

Nothing that may be in the picture becomes a negative: no name that may mean the same as one of its labels
(``engine.mix.NameRelations``), in whatever dataset of the mix the picture is labelled; in federated datasets, no class
that nobody looked for or that is annotated only in part.
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
    """The names of all that is labelled in a picture: its phrases and their heads, crowds, classes annotated only in
    part, and the names ``known`` from other datasets."""
    names = [name for phrase in labels.phrases for name in (phrase.text, phrase.head_lemma)]
    return [*names, *(one.name for one in labels.crowds or ()), *(labels.incomplete_classes or ()), *known]


def packed_caption(
    labels: SampleLabels,
    others: Sequence[SampleLabels],
    relations: NameRelations,
    budget: Budget,
    random: np.random.Generator,
    known: Iterable[str] = (),
) -> TrainingPrompt:
    """The caption of a sample, at a random place among captions of ``others`` that name nothing that may be in it.

    As many of them, in their order, as the token budget holds. Captions without a phrase are left out.
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
    """The names of the classes in the picture and of up to ``max_negatives`` others, in random order; a class in
    ``asked`` has its phrase instead of its name."""
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
    """The classes that cannot be in the picture, judged by their names and by their phrases in ``asked``.

    In a federated dataset, only classes that somebody looked for and did not find.
    """
    if labels.absent_classes is not None:
        looked_for = set(labels.absent_classes)
        classes = [name for name in classes if name in looked_for]
    present = [*shown(labels, known), *(asked[one.text].name for one in labels.phrases if one.text in asked)]
    unnamed = relations.unrelated(classes, present)
    words = {name: asked[name].name for name in unnamed if name in asked}
    unrelated = set(relations.unrelated(words.values(), present))
    return [name for name in unnamed if name not in words or words[name] in unrelated]


def fit_names(present: list[str], absent: list[str], budget: Budget, asked: Asked = BY_NAME) -> list[str]:
    """As many names as the token budget holds, but at least one; absent ones are left out first."""
    names = present + absent
    if budget.holds(join_names(names, asked)[0]):
        return names

    def are_too_many(count: int) -> bool:
        return not budget.holds(join_names(names[:count], asked)[0])

    fitting = bisect_left(range(1, len(names) + 1), True, key=are_too_many)
    return names[: max(1, fitting)]


def join_names(names: list[str], asked: Asked = BY_NAME) -> tuple[str, dict[str, Span]]:
    """The names, or their phrases in ``asked``, as one text, and for each name the character span that counts in it."""
    texts: list[str] = []
    spans, start = {}, 0
    for name in names:
        one = asked.get(name) or asked_by_name(name)
        spans[name] = (start + one.start, start + one.end)
        texts.append(one.text)
        start += len(one.text) + len(SEPARATOR)
    return SEPARATOR.join(texts), spans
