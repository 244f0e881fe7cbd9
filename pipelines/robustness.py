"""Does a grounder answer what it was not asked? Boxes under a picture's own caption, another one's, and a blank one.

In: a grounder and a human grounding dataset. Out: how many boxes a phrase has above a score under each caption. A
grounder that reads gives few for the caption of another picture, whose things are not there, and none for a blank one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from engine.artifacts import Store
from engine.shards import LabelledImage, placed_labels, read_card, read_samples, sample_json
from pipelines.evaluation.answers import answer_all, ask_phrases
from pipelines.models.checkpoints import local_teacher, pinned_teacher
from pipelines.progress import tracked
from schemas.reports import Document
from schemas.robustness_recipes import RobustnessRecipe
from schemas.shards import SampleLabels, SamplePhrase
from teacher.grounder import open_grounder
from teacher.worker import TeacherWorker

BLANK = "."  # the least that a model reads as a text: what stands between class names


class Robustness(Document):
    """Boxes a phrase that reach ``min_score`` under each kind of caption; shares are of those under its own."""

    dataset: str
    pictures: int
    min_score: float
    own: float
    wrong: float
    blank: float

    def share(self, boxes: float) -> float | None:
        """How many of the boxes survive; None where there are none under the own caption."""
        return boxes / self.own if self.own else None


def robustness(recipe: RobustnessRecipe, dataset: str | Path, *, progress: bool = True) -> Robustness:
    """Ask the recipe's grounder for the captions of ``dataset``, for captions of other pictures, and for a blank one.

    Samples without another whose heads they have none of are left out. ValueError where the dataset is no human
    grounding dataset, or has no two pictures with different things.
    """
    store = Store(dataset)
    card = read_card(store)
    if (card.origin, card.task) != ("human", "grounding"):
        raise ValueError(
            f"{dataset} is {card.origin}, of task {card.task}; captions are taken from human grounding data"
        )
    known = [(place, _heads(one), sample_json(one)) for place, one in islice(placed_labels(store), recipe.limit)]
    heads = [of_sample for _, of_sample, _ in known]  # the pictures are read when they are asked about
    found = [(place, _of_other_things(heads, number)) for number, (place, _, _) in enumerate(known)]
    pairs = [(place, known[other][2]) for place, other in found if other is not None]
    if not pairs:
        raise ValueError(f"{dataset} has no two pictures of different things among {len(known)}")
    grounder = open_grounder(local_teacher(pinned_teacher(recipe.teacher)))
    worker = TeacherWorker(grounder, batch_size=recipe.teacher.batch_size, min_score=recipe.min_score)

    def boxes(doing: str, changed: Callable[[LabelledImage, SampleLabels], LabelledImage]) -> float:
        pictures = read_samples(store, [place for place, _ in pairs])
        others = (SampleLabels.model_validate_json(other) for _, other in pairs)
        asked = (changed(one, other) for one, other in zip(pictures, others, strict=True))
        answers = answer_all(asked, ask_phrases(grounder), worker)
        found = phrases = 0
        for answered in tracked(answers, doing, shown=progress, total=len(pairs)):
            found += len(answered.candidates)
            phrases += len(answered.gold.phrases)
        return found / phrases

    result = Robustness(
        dataset=store.name,
        pictures=len(pairs),
        min_score=recipe.min_score,
        own=boxes("own captions", lambda one, other: one),
        wrong=boxes("wrong captions", lambda one, other: _captioned(one, other.caption, other.phrases)),
        blank=boxes("blank captions", lambda one, other: _captioned(one, BLANK, [_whole(BLANK)])),
    )
    if progress:
        print(robustness_line(result))
    return result


def robustness_line(found: Robustness) -> str:
    """The figures as one line."""
    parts = [f"{found.dataset}: boxes a phrase at score {found.min_score:g}: own caption {found.own:.2f}"]
    for name, boxes in (("another picture's", found.wrong), ("blank", found.blank)):
        share = found.share(boxes)
        parts.append(f"{name} {boxes:.2f}" + ("" if share is None else f" ({share:.0%})"))
    return ", ".join(parts) + f"; {found.pictures} pictures"


def _of_other_things(heads: Sequence[frozenset[str]], number: int) -> int | None:
    """The number of the first sample after that one, in a circle, that has phrases and no head noun of it."""
    circle = chain(range(number + 1, len(heads)), range(number))
    return next((one for one in circle if heads[one] and not heads[number] & heads[one]), None)


def _heads(labels: SampleLabels) -> frozenset[str]:
    return frozenset(phrase.head_lemma.lower() for phrase in labels.phrases)


def _captioned(sample: LabelledImage, caption: str, phrases: Sequence[SamplePhrase]) -> LabelledImage:
    fields = {"caption": caption, "phrases": list(phrases), "boxes": []}
    return replace(sample, labels=sample.labels.model_copy(update=fields))


def _whole(text: str) -> SamplePhrase:
    return SamplePhrase(text=text, start=0, end=len(text), head_lemma=text)
