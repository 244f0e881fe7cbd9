"""What a model is evaluated on: a dataset of human annotations, whole or its first samples, and the texts that its
classes are asked by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from engine.artifacts import Store, digest_of
from engine.review.verdicts import read_verdicts
from engine.shards import read_card, read_labels
from engine.view import View
from schemas.class_prompts import AskedClass, asked_of
from schemas.recipes import EvaluateRecipe
from schemas.shards import DatasetCard, SampleLabels


@dataclass(frozen=True)
class Exam:
    """A dataset to be evaluated on, as its reviewers left it (``view``). ``asked``: the classes that are asked by
    another text than their names."""

    store: Store
    card: DatasetCard
    name: str
    limit: int | None
    view: View
    asked: Mapping[str, AskedClass] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        card = self.card
        return digest_of([card.source_fingerprint, card.recipe_digest, self.limit, self.view.verdicts.digest])

    def __len__(self) -> int:
        return min(self.card.samples, self.limit or self.card.samples)

    def labels(self) -> Iterator[SampleLabels]:
        """The human labels, in the order of the samples."""
        return (self.view.seen(labels)[0] for labels in islice(read_labels(self.store), self.limit))


def open_exams(recipe: EvaluateRecipe) -> list[Exam]:
    """The recipe's datasets in order. ValueError as of :func:`open_exam`, where two have the same name, or where its
    prompts are for another dataset or class, or for captions."""
    exams = [open_exam(dataset, recipe.limit) for dataset in recipe.datasets]
    if len({exam.name for exam in exams}) < len(exams):
        raise ValueError("two datasets to evaluate on have the same folder name; reports are named by it; rename one")
    strange = recipe.prompts.keys() - {exam.name for exam in exams}
    if strange:
        raise ValueError(
            f"prompts are given for {', '.join(sorted(map(repr, strange)))}; the datasets to evaluate on are called "
            f"{', '.join(exam.name for exam in exams)}"
        )
    return [replace(exam, asked=asked_of(exam.card, exam.name, recipe.prompts.get(exam.name, {}))) for exam in exams]


def open_exam(dataset: str, limit: int | None) -> Exam:
    """The dataset in the folder ``dataset``. ValueError where it is no dataset, not complete, or not human."""
    store = Store(dataset)
    card = read_card(store)
    if card.origin != "human" or not card.complete:
        raise ValueError(
            f"{dataset} is {'not complete' if card.origin == 'human' else 'pseudo-labelled'}; "
            "a model is evaluated on a complete dataset of human annotations, as `import` makes it"
        )
    return Exam(store, card, store.name, limit, View(verdicts=read_verdicts(store)))
