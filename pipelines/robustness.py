"""Does a grounder answer what it was not asked? Boxes under a picture's own caption, another one's, and a blank one.

In: a grounder and a human grounding dataset. Out: how many boxes a phrase has above a score under each caption, and in
a folder ``robustness.json`` with ``phrases.parquet``: each phrase that was asked, with its boxes. A grounder that reads
gives few for the caption of another picture, whose things are not there, and none for a blank one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from rich.table import Table

from engine.artifacts import Store
from engine.metrics import ImageResult
from engine.shards import LabelledImage, placed_labels, read_card, read_samples, sample_json
from pipelines.console.progress import tracked
from pipelines.console.terminal import plain_console, visible
from pipelines.evaluation.answers import Ask, answer_all, ask_phrases
from pipelines.models.checkpoints import local_teacher, pinned_teacher
from schemas.reports import Document
from schemas.robustness_recipes import RobustnessRecipe
from schemas.shards import SampleLabels, SamplePhrase
from teacher.grounder import open_grounder
from teacher.worker import TeacherWorker

BLANK = "."  # the least that a model reads as a text: what stands between class names
ROBUSTNESS, PHRASES = "robustness.json", "phrases.parquet"
SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("captions", pa.string(), nullable=False),
        pa.field("phrase", pa.string(), nullable=False),
        pa.field("boxes", pa.int32(), nullable=False),
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
        pa.field("boxes_xyxy", pa.list_(pa.list_(pa.float32(), 4)), nullable=False),
    ]
)
"""A row for each phrase that the picture ``key`` was asked for, under its ``own`` caption, a ``wrong`` or a ``blank``
one: its boxes in pixels of the stored image, the best first."""
PICTURES_A_GROUP = 1000
Pairs = Sequence[tuple[tuple[int, int], bytes]]
Change = Callable[[LabelledImage, SampleLabels], LabelledImage]


class Robustness(Document):
    """Boxes a phrase with at least ``min_score``: under a picture's ``own`` caption, a ``wrong`` one, and a ``blank``
    one."""

    model_digest: str
    dataset: str
    dataset_fingerprint: str = Field(description="of the source that it was imported from")
    pictures: int
    min_score: float
    own: float
    wrong: float
    blank: float

    def share(self, boxes: float) -> float | None:
        """``boxes`` as a share of those under the own caption; None where there are none."""
        return boxes / self.own if self.own else None


def robustness(
    recipe: RobustnessRecipe, dataset: str | Path, out: str | Path | None = None, *, progress: bool = True
) -> Robustness:
    """Ask the recipe's grounder for the captions of ``dataset``, for captions of other pictures, and for a blank one;
    write the figures and boxes into the folder ``out``.

    A sample is left out if every other sample shares a head noun with it. ValueError where the dataset is no human
    grounding dataset, or has no two pictures with different things.
    """
    store = Store(dataset)
    card = read_card(store)
    if (card.origin, card.task) != ("human", "grounding"):
        raise ValueError(
            f"{dataset} is {card.origin}, of task {card.task}; captions are taken from human grounding data"
        )
    pairs = _pairs(store, recipe.limit)
    grounder = open_grounder(local_teacher(pinned_teacher(recipe.teacher)))
    worker = TeacherWorker(grounder, batch_size=recipe.teacher.batch_size, min_score=recipe.min_score)
    target = None if out is None else Store(out)
    with _table(target) as write:

        def boxes(captions: str, change: Change) -> float:
            answers = _answers(store, pairs, change, ask_phrases(grounder), worker)
            shown = tracked(answers, f"{captions} captions", shown=progress, total=len(pairs))
            return _boxes_a_phrase(shown, captions, write)

        result = Robustness(
            model_digest=grounder.digest,
            dataset=store.name,
            dataset_fingerprint=card.source_fingerprint,
            pictures=len(pairs),
            min_score=recipe.min_score,
            own=boxes("own", lambda one, other: one),
            wrong=boxes("wrong", lambda one, other: _captioned(one, other.caption, other.phrases)),
            blank=boxes("blank", lambda one, other: _captioned(one, BLANK, [_whole(BLANK)])),
        )
    if target is not None:
        target.write_document(ROBUSTNESS, result)
    if progress:
        print_robustness(result)
    return result


def print_robustness(found: Robustness) -> None:
    """The figures as a table on the terminal."""
    table = Table(title=visible(f"{found.dataset}: {found.pictures:,} pictures, scores from {found.min_score:g}"))
    table.add_column("caption")
    for column in ("boxes a phrase", "of its own"):
        table.add_column(column, justify="right")
    for name, boxes in (("own", found.own), ("another picture's", found.wrong), ("blank", found.blank)):
        share = found.share(boxes)
        table.add_row(name, f"{boxes:.2f}", "" if share is None else f"{share:.0%}")
    plain_console().print(table)


def _pairs(store: Store, limit: int | None) -> Pairs:
    """For each sample that can be paired, its place (unit, row) and the labels, as JSON, of a sample with other
    things."""
    known = [(place, _heads(one), sample_json(one)) for place, one in islice(placed_labels(store), limit)]
    heads = [of_sample for _, of_sample, _ in known]  # the pictures are read when they are asked about
    found = [(place, _of_other_things(heads, number)) for number, (place, _, _) in enumerate(known)]
    pairs = [(place, known[other][2]) for place, other in found if other is not None]
    if not pairs:
        raise ValueError(f"{store.root} has no two pictures of different things among {len(known)}")
    return pairs


def _answers(store: Store, pairs: Pairs, change: Change, ask: Ask, worker: TeacherWorker) -> Iterator[ImageResult]:
    """What the grounder answers to the pictures under changed captions, in order."""
    pictures = read_samples(store, [place for place, _ in pairs])
    others = (SampleLabels.model_validate_json(other) for _, other in pairs)
    return answer_all((change(one, other) for one, other in zip(pictures, others, strict=True)), ask, worker)


def _boxes_a_phrase(
    answers: Iterable[ImageResult], captions: str, write: Callable[[Sequence[dict[str, Any]]], None]
) -> float:
    """The mean number of boxes over all phrases; the phrases' rows are written on the way."""
    found = phrases = 0
    answers = iter(answers)
    while some := list(islice(answers, PICTURES_A_GROUP)):
        rows = [row for answered in some for row in _rows(answered, captions)]
        found += sum(row["boxes"] for row in rows)
        phrases += len(rows)
        write(rows)
    return found / phrases


def _rows(answered: ImageResult, captions: str) -> Iterator[dict[str, Any]]:
    """The rows of ``SCHEMA``, a phrase each."""
    best = answered.found.best_first()
    for number, phrase in enumerate(answered.gold.phrases):
        own = best[best.phrases == number]
        yield {
            "key": answered.gold.key,
            "captions": captions,
            "phrase": phrase.text,
            "boxes": len(own),
            "scores": own.scores.tolist(),
            "boxes_xyxy": own.boxes_xyxy.tolist(),
        }


@contextmanager
def _table(store: Store | None) -> Iterator[Callable[[Sequence[dict[str, Any]]], None]]:
    """A function that writes rows into ``phrases.parquet``; without a store it does nothing."""
    if store is None:
        yield lambda rows: None
        return
    store.delete(ROBUSTNESS)  # of other work: it would vouch for a file that is being replaced
    with store.writing(PHRASES) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        yield lambda rows: writer.write_table(pa.Table.from_pylist(list(rows), SCHEMA))


def _of_other_things(heads: Sequence[frozenset[str]], number: int) -> int | None:
    """The number of the next sample, after the last one the first, that has phrases but shares no head noun with sample
    ``number``; None where there is none."""
    circle = chain(range(number + 1, len(heads)), range(number))
    return next((one for one in circle if heads[one] and not heads[number] & heads[one]), None)


def _heads(labels: SampleLabels) -> frozenset[str]:
    return frozenset(phrase.head_lemma.lower() for phrase in labels.phrases)


def _captioned(sample: LabelledImage, caption: str, phrases: Sequence[SamplePhrase]) -> LabelledImage:
    fields = {"caption": caption, "phrases": list(phrases), "boxes": []}
    return replace(sample, labels=sample.labels.model_copy(update=fields))


def _whole(text: str) -> SamplePhrase:
    return SamplePhrase(text=text, start=0, end=len(text), head_lemma=text)
