"""The cells of ``self_training.py``: models that are trained, examined, and what labels were worth.

In: an :class:`Experiment` and a seed. Out: one :class:`Cell` a model. Each cell has a folder of its own and is made
once: what is there is read, what was stopped goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from self_training_worlds import SELECTIONS, GroupOf, World

from engine.artifacts import Store
from engine.gold import import_gold
from engine.metrics.grounding import phrase_recall_by_group
from engine.metrics.pseudo_labels import PseudoLabelTally, above_score
from engine.metrics.truth import Truth
from engine.shards import committed_units, read_card, read_shard
from pipelines.answers import answer_all
from pipelines.generation_plan import import_source
from pipelines.label import label
from pipelines.phrase_frequency import head_frequencies
from pipelines.pseudo_quality import open_truth, read_labels
from pipelines.train import train
from schemas.recipes import LabelRecipe, MixEntry, OptimizerRecipe, TeacherRecipe, TrainRecipe
from schemas.reports import Document, PseudoLabelFigures
from teacher.grounder import open_grounder
from teacher.worker import TeacherWorker

BATCH = 8
TEACHER_RATES = {"lr": 4e-4, "text_lr_factor": 1.0}
STUDENT_RATES = {"lr": 1e-4, "text_lr_factor": 10.0}  # of student, control and oracle: what is new are words
FLOOR = 0.05
JUDGED_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
NOVEL, REST = "rare and novel", "rest"


@dataclass(frozen=True)
class Experiment:
    """What is run: the same for every seed."""

    world: World
    out: Path
    init: str
    steps: int
    teacher_steps: int
    selections: tuple[str, ...]
    oracle: bool
    threads: int


class GroupResult(Document):
    """Recall@1 of a group of phrases: for each picture the share that is hit, and the number of phrases."""

    hits: dict[str, float]
    counts: dict[str, int]


class Cell(Document):
    """One model of one seed, examined; of the teacher, also what its labels are worth by threshold and group."""

    model: str
    seed: int
    groups: dict[str, GroupResult]
    labels: dict[str, list[PseudoLabelFigures]] = {}


def run_seed(experiment: Experiment, seed: int) -> list[Cell]:
    """All cells of one seed."""
    world, folder = experiment.world, experiment.out / f"seed-{seed}"
    human = [folder / source.name for source in world.human(seed)]
    for source, path in zip(world.human(seed), human, strict=True):
        import_source(source, path)
    for source in world.exams:
        import_source(source, experiment.out / source.name)
    group_of = world.group_of(head_frequencies(map(str, human)))
    cells = _Cells(experiment, folder, seed, group_of)

    gold = [MixEntry(dataset=str(path)) for path in human]
    teacher = cells.train("teacher", gold, experiment.init, experiment.teacher_steps)
    pseudo = str(_label(experiment, folder, seed, teacher))
    found = [cells.examine("teacher", teacher, _judge(experiment, folder, seed, group_of))]
    mixes: dict[str, list[MixEntry]] = {}
    for name in experiment.selections:
        mixes[f"student {name}"] = [*gold, MixEntry(dataset=pseudo, weight=len(gold), selection=SELECTIONS[name])]
    mixes["control"] = gold
    if world.truth is not None and experiment.oracle:
        mixes["oracle"] = [*gold, MixEntry(dataset=str(folder / "truth"), weight=len(gold))]
    for name, mix in mixes.items():
        found.append(cells.examine(name, cells.train(name, mix, teacher, experiment.steps)))
    return found


@dataclass(frozen=True)
class _Cells:
    experiment: Experiment
    folder: Path
    seed: int
    group_of: GroupOf

    def train(self, name: str, mix: list[MixEntry], init: str, steps: int) -> str:
        """The checkpoint of a model trained on ``mix``."""
        rates = TEACHER_RATES if name == "teacher" else STUDENT_RATES
        optimizer = OptimizerRecipe(warmup_steps=max(1, steps // 10), schedule="cosine", ema_decay=0.95, **rates)
        run = {"checkpoint_every": 50, "loader_threads": 1, "batch_size": BATCH, "optimizer": optimizer}
        fields = {**run, **self.experiment.world.train, "seed": self.seed}
        print(f"== seed {self.seed}: {name}, {steps} steps", flush=True)
        recipe = TrainRecipe(mix=tuple(mix), init=init, steps=steps, **fields)
        return train(recipe, self.folder / name.replace(" ", "-")).checkpoint

    def examine(self, name: str, checkpoint: str, labels: dict[str, list[PseudoLabelFigures]] | None = None) -> Cell:
        """The model's Recall@1 by group, read where it has been found before."""
        store, file = Store(self.folder), f"{name.replace(' ', '-')}.json"
        if store.exists(file):
            return Cell.model_validate_json(store.read(file))
        groups: dict[str, GroupResult] = {}
        for exam in self.experiment.world.exams:
            results = list(self._answers(checkpoint, self.experiment.out / exam.name))
            groups |= _by_group(results, self.group_of) | _by_group(results, self._novel_or_rest)
        cell = Cell(model=name, seed=self.seed, groups=groups, labels=labels or {})
        store.write(file, (cell.model_dump_json() + "\n").encode())
        return cell

    def _novel_or_rest(self, phrase: Any) -> str:
        return f"all {REST if self.group_of(phrase) in (REST, 'head', 'mid') else NOVEL}"

    def _answers(self, checkpoint: str, dataset: Path) -> Any:
        store, recipe = Store(dataset), _teacher_recipe(self.experiment, checkpoint)
        grounder = open_grounder(recipe)
        samples = (sample for unit in committed_units(store) for sample in read_shard(store, unit))
        worker = TeacherWorker(grounder, batch_size=recipe.batch_size, min_score=0.01)
        return answer_all(samples, read_card(store), grounder, worker, 40)


def _by_group(results: Any, group_of: GroupOf) -> dict[str, GroupResult]:
    figures = phrase_recall_by_group(results, group_of, at=(1,))
    names = {name: name.partition(":")[2] for name in figures.per_image}
    return {
        group: GroupResult(hits=figures.per_image[name], counts=figures.per_image_count[name])
        for name, group in names.items()
    }


def _teacher_recipe(experiment: Experiment, checkpoint: str) -> TeacherRecipe:
    size = experiment.world.image_size
    return TeacherRecipe(checkpoint=checkpoint, threads=experiment.threads, min_size=size)


def _label(experiment: Experiment, folder: Path, seed: int, teacher: str) -> Path:
    recipe = LabelRecipe(
        source=experiment.world.web(seed),
        teacher=_teacher_recipe(experiment, teacher),
        min_score=FLOOR,
        unit_size=100,
    )
    print(f"== seed {seed}: label", flush=True)
    if label(recipe, folder / "pseudo", backend="inline").units_left:
        raise SystemExit("stopped while labelling; the same command goes on")
    return folder / "pseudo"


def _judge(experiment: Experiment, folder: Path, seed: int, group_of: GroupOf) -> dict[str, list[PseudoLabelFigures]]:
    """Precision and recall of the labels by group of phrases, at each of ``JUDGED_SCORES``."""
    if experiment.world.truth is not None:
        source = experiment.world.truth(seed)
        assert source.scenes is not None
        import_gold("scenes", source.scenes, folder / "truth")
    truth = open_truth(experiment.world.judge or folder / "truth")
    known = truth.keys()
    samples = [labels for labels in read_labels(Store(folder / "pseudo")) if labels.key in known]
    groups = sorted({group_of(phrase) for labels in samples for phrase in labels.phrases})
    return {group: _figures(samples, truth, group, group_of) for group in groups}


def _figures(samples: Any, truth: Truth, group: str, group_of: GroupOf) -> list[PseudoLabelFigures]:
    tallies = [PseudoLabelTally(f"{score:.2f}") for score in JUDGED_SCORES]
    for labels in samples:
        chosen = [number for number, phrase in enumerate(labels.phrases) if group_of(phrase) == group]
        renumbered = {number: place for place, number in enumerate(chosen)}
        boxes = [
            box.model_copy(update={"phrase": renumbered[box.phrase]})
            for box in labels.boxes
            if box.phrase in renumbered
        ]
        part = labels.model_copy(update={"phrases": [labels.phrases[number] for number in chosen], "boxes": boxes})
        for tally, score in zip(tallies, JUDGED_SCORES, strict=True):
            tally.count(part, above_score(score)(part), truth)
    return [tally.figures() for tally in tallies]
