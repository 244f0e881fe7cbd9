"""The cells of ``self_training.py``: models that are trained and examined.

In: an :class:`Experiment`, a seed and a mix. Out: a checkpoint, and one :class:`Cell` a model. Each has a folder or a
file of its own and is made once: what is there is read, what was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from self_training_worlds import GroupOf, World

from engine.artifacts import Store
from engine.metrics import ImageResult
from engine.metrics.grounding import phrase_recall_by_group
from engine.shards import committed_units, read_shard
from pipelines.evaluation.answers import answer_all, ask_phrases
from pipelines.train import train
from schemas.recipes import MixEntry, OptimizerRecipe, TeacherRecipe, TrainRecipe
from schemas.reports import Document, PseudoLabelFigures
from schemas.shards import SamplePhrase
from teacher.grounder import open_grounder
from teacher.worker import TeacherWorker

BATCH = 8
TEACHER_RATES = {"lr": 4e-4, "text_lr_factor": 1.0}
STUDENT_RATES = {"lr": 1e-4, "text_lr_factor": 10.0}  # of student, control and oracle, which learn new words
CAPTION_NEGATIVES = 4  # of the same models: otherwise new words would have no negatives
FLOOR = 0.05
NOVEL, REST = "rare and novel", "rest"

LabelFigures = dict[str, list[PseudoLabelFigures]]
"""By group of phrases, the figures of labels under each of some selections."""


@dataclass(frozen=True)
class Experiment:
    """The settings of an experiment, the same for every seed."""

    world: World
    out: Path
    init: str
    steps: int
    teacher_steps: int
    variants: tuple[str, ...]
    oracle: bool
    threads: int
    train: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the training recipe of all models but the teacher; also ``lr`` and ``text_lr_factor``."""


class GroupResult(Document):
    """Recall@1 of a group of phrases: for each picture the share that is hit, and the number of phrases."""

    hits: dict[str, float]
    counts: dict[str, int]


class Cell(Document):
    """The figures of one model of one seed, by groups of phrases and by novel words; for the teacher also those of its
    labels, by threshold and group."""

    model: str
    seed: int
    groups: dict[str, GroupResult]
    words: dict[str, GroupResult] = {}
    labels: LabelFigures = {}


@dataclass(frozen=True)
class Cells:
    """The models of one seed, in ``folder``."""

    experiment: Experiment
    folder: Path
    seed: int
    group_of: GroupOf

    def train_teacher(self, name: str, human: Sequence[MixEntry], seed: int) -> str:
        """The checkpoint of a teacher, trained with ``seed``."""
        rates = {**TEACHER_RATES, "seed": seed}
        return self._train(name, human, self.experiment.init, self.experiment.teacher_steps, rates)

    def train(self, name: str, mix: Sequence[MixEntry], teacher: str, **changes: Any) -> str:
        """The checkpoint of a model that starts from the teacher and is trained on ``mix``."""
        always = {**STUDENT_RATES, "caption_negatives": CAPTION_NEGATIVES, "seed": self.seed}
        options = {**always, **self.experiment.train, **changes}
        return self._train(name, mix, teacher, self.experiment.steps, options)

    def _train(self, name: str, mix: Sequence[MixEntry], init: str, steps: int, options: dict[str, Any]) -> str:
        rates = {rate: options.pop(rate) for rate in TEACHER_RATES}
        optimizer = OptimizerRecipe(warmup_steps=max(1, steps // 10), schedule="cosine", ema_decay=0.95, **rates)
        run = {"checkpoint_every": 50, "loader_threads": 1, "batch_size": BATCH, "optimizer": optimizer}
        print(f"== seed {self.seed}: {name}, {steps} steps", flush=True)
        fields = {**run, **self.experiment.world.train, **options}
        recipe = TrainRecipe(mix=tuple(mix), init=init, steps=steps, **fields)
        return train(recipe, self.folder / file_name(name)).checkpoint

    def examine(self, name: str, checkpoint: str, judged: Callable[[], LabelFigures] = dict) -> Cell:
        """The model's Recall@1 by group and word, read if it exists; ``judged`` computes its ``labels``."""
        store, file = Store(self.folder), f"{file_name(name)}{self.experiment.world.cell_suffix}.json"
        if store.exists(file):
            return Cell.model_validate_json(store.read(file))
        groups: dict[str, GroupResult] = {}
        words: dict[str, GroupResult] = {}
        for exam in self.experiment.world.exams:
            teacher = teacher_recipe(self.experiment, checkpoint)
            results = list(answers(teacher, self.experiment.out / exam.name))
            groups |= by_group(results, self.group_of) | by_group(results, self._novel_or_rest)
            words |= by_group(results, self.experiment.world.word_of)
        words.pop("", None)
        cell = Cell(model=name, seed=self.seed, groups=groups, words=words, labels=judged())
        store.write(file, (cell.model_dump_json() + "\n").encode())
        return cell

    def _novel_or_rest(self, phrase: SamplePhrase) -> str:
        return f"all {REST if self.group_of(phrase) in (REST, 'head', 'mid') else NOVEL}"


def file_name(model: str) -> str:
    """A model's name as a file name."""
    return model.replace(" ", "-")


def teacher_recipe(experiment: Experiment, checkpoint: str) -> TeacherRecipe:
    """The recipe by which a checkpoint labels and is examined."""
    size = experiment.world.image_size
    return TeacherRecipe(checkpoint=checkpoint, threads=experiment.threads, min_size=size)


def answers(recipe: TeacherRecipe, dataset: Path, limit: int | None = None) -> Iterator[ImageResult]:
    """The answers of a checkpoint to the phrases of an exam, or of its first ``limit`` pictures."""
    store, grounder = Store(dataset), open_grounder(recipe)
    samples = (sample for unit in committed_units(store) for sample in read_shard(store, unit))
    worker = TeacherWorker(grounder, batch_size=recipe.batch_size, min_score=0.01)
    return answer_all(islice(samples, limit), ask_phrases(grounder), worker)


def by_group(results: Sequence[ImageResult], group_of: GroupOf) -> dict[str, GroupResult]:
    """Recall@1 of each group of phrases."""
    figures = phrase_recall_by_group(results, group_of)
    names = {name: name.partition(":")[2] for name in figures.per_image}
    return {
        group: GroupResult(hits=figures.per_image[name], counts=figures.per_image_count[name])
        for name, group in names.items()
    }
