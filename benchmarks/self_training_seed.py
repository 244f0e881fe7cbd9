"""One seed of ``self_training.py``: its data, teacher, students, control and oracle.

In: an :class:`Experiment` and a seed. Out: the cells of its models, and the figures of the students' labels. A model or
a labelled web is made once, when it is first needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from self_training_cells import Cell, Cells, Experiment, LabelFigures, teacher_recipe
from self_training_labels import as_selected, by_score, calibrate_teacher, hidden_boxes, label_web
from self_training_variants import CONTROL, ENSEMBLE, NOBODY, TEACHER, VARIANTS, Variant, is_calibrated, student

from engine.artifacts import Store
from engine.metrics.truth import Truth
from pipelines.evaluation.phrase_frequency import head_frequencies
from pipelines.generation_plan import import_source
from pipelines.models.candidate_weights import candidate_model
from schemas.recipes import MixEntry, SelectionChoice, TeacherRecipe
from schemas.reports import Document

SECOND_TEACHER_SEED = 1000  # added to the seed: the same human data in another order


class Learned(Document):
    """The figures of the labels that a student learned from: one row for each group of phrases."""

    variant: str
    seed: int
    groups: LabelFigures


@dataclass(frozen=True)
class SeedResult:
    """The results of one seed."""

    cells: list[Cell]
    learned: list[Learned]


def run_seed(experiment: Experiment, seed: int) -> SeedResult:
    """All cells of one seed: teacher, students, control, oracle."""
    for source in experiment.world.exams:
        import_source(source, experiment.out / source.name)
    run = SeedRun(experiment, seed)
    cells = [run.teacher_cell()]
    cells += [run.cells.examine(student(name), run.student(name)) for name in experiment.variants]
    cells.append(run.cells.examine(CONTROL, run.control()))
    if experiment.world.truth is not None and experiment.oracle:
        run.hidden()  # drawn now if no judge has needed them
        mix = [*run.gold, MixEntry(dataset=str(run.folder / "truth"), weight=len(run.gold))]
        cells.append(run.cells.examine("oracle", run.cells.train("oracle", mix, run.teacher)))
    return SeedResult(
        cells, [run.learned(name) for name in experiment.variants if VARIANTS[name].labelled_by != NOBODY]
    )


class SeedRun:
    """The models of one seed; ``teacher`` is the checkpoint that all others start from, ``gold`` the human data."""

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self.experiment, self.seed = experiment, seed
        self.folder = experiment.out / f"seed-{seed}"
        human = experiment.world.human(seed)
        for source in human:
            import_source(source, self.folder / source.name)
        self.gold = [MixEntry(dataset=str(self.folder / source.name)) for source in human]
        self.group_of = experiment.world.group_of(head_frequencies(self._human()))
        self.cells = Cells(experiment, self.folder, seed, self.group_of)
        self.teacher = self.cells.train_teacher("teacher", self.gold, seed)
        self._students: dict[str, str] = {}
        self._labels: dict[str, Path] = {}

    def teacher_cell(self) -> Cell:
        """The figures of the teacher and of its labels."""
        return self.cells.examine(
            "teacher", self.teacher, lambda: by_score(self.labels(TEACHER), self.hidden(), self.group_of)
        )

    def student(self, name: str) -> str:
        """The checkpoint of a variant's student."""
        if name not in self._students:
            variant = VARIANTS[name]
            self._students[name] = self._trained(name) if variant.averaged is None else self._mean(variant.averaged)
        return self._students[name]

    def control(self) -> str:
        """The checkpoint that is trained on human data alone."""
        return self.cells.train(CONTROL, self.gold, self.teacher)

    def _trained(self, name: str) -> str:
        variant = VARIANTS[name]
        mix = [*self.gold, *([] if variant.labelled_by == NOBODY else [self._pseudo(variant)])]
        return self.cells.train(student(name), mix, self.teacher, **variant.train)

    def _mean(self, name: str) -> str:
        """The checkpoint halfway between a model and the teacher, which has forgotten less."""
        checkpoint = self.control() if name == CONTROL else self.student(name)
        return candidate_model(Path(checkpoint).parent, checkpoint, "averaged", self.teacher)

    def learned(self, name: str) -> Learned:
        """The figures of a variant's labels, read if they exist."""
        store, file = Store(self.folder), f"labels-{name}.json"
        if store.exists(file):
            return Learned.model_validate_json(store.read(file))
        pseudo = self._pseudo(VARIANTS[name])
        assert pseudo.selection is not None
        groups = as_selected(Path(pseudo.dataset), self.hidden(), self.group_of, pseudo.selection)
        found = Learned(variant=name, seed=self.seed, groups=groups)
        store.write(file, (found.model_dump_json() + "\n").encode())
        return found

    def labels(self, by: str) -> Path:
        """The web as labelled by the teacher, by two or by a variant's student."""
        if by not in self._labels:
            out = self.folder / ("pseudo" if by == TEACHER else f"pseudo-{by}")
            self._labels[by] = label_web(self.experiment, self.seed, self._labeller(by), out)
        return self._labels[by]

    def hidden(self) -> Truth:
        """The boxes that judge labels."""
        return hidden_boxes(self.experiment, self.folder, self.seed)

    def _human(self) -> list[str]:
        return [entry.dataset for entry in self.gold]

    def _pseudo(self, variant: Variant) -> MixEntry:
        weight = len(self.gold) * variant.share / (1 - variant.share)
        dataset = str(self.labels(variant.labelled_by))
        return MixEntry(dataset=dataset, weight=weight, selection=self._selection(variant))

    def _selection(self, variant: Variant) -> SelectionChoice:
        if not is_calibrated(variant):
            return variant.selection
        assert isinstance(variant.selection, dict)
        teacher = self._labeller(variant.labelled_by)
        path = calibrate_teacher(self.experiment, self.folder, self.seed, teacher, self._human())
        return {**variant.selection, "calibration": path}

    def _labeller(self, by: str) -> TeacherRecipe:
        if by != ENSEMBLE:
            return teacher_recipe(self.experiment, self.teacher if by == TEACHER else self.student(by))
        second = self.cells.train_teacher("second teacher", self.gold, self.seed + SECOND_TEACHER_SEED)
        members = tuple(teacher_recipe(self.experiment, one) for one in (self.teacher, second))
        return TeacherRecipe(grounder="ensemble", members=members, threads=self.experiment.threads)
