"""The plan of a generation, fixed before it begins: the teacher's version, the training recipe, the evaluation recipe.

In: a recipe and the folder. Out: a :class:`GenerationPlan`, with the recipe saved in the folder; a folder with a
generation of another recipe is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from engine.artifacts import Store
from engine.gold import import_gold
from engine.selection import check_agreement, check_teacher
from pipelines.evaluate import check_evaluation
from pipelines.evaluation.metric_names import check_metric, metric_names
from pipelines.evaluation.pseudo_quality import open_truth, pseudo_quality
from pipelines.models.candidate_weights import candidate_model, check_candidate
from pipelines.models.candidates import DECISION, RECIPE
from pipelines.models.checkpoints import local_teacher, pinned, pinned_teacher
from pipelines.registry import check_teacher_is_current
from pipelines.train import check_training
from pipelines.training.evaluation import check_apart, check_before
from schemas.recipes import (
    EvaluateRecipe,
    GenerationRecipe,
    GoldSource,
    MixEntry,
    ScenesSource,
    TeacherRecipe,
    TrainRecipe,
)
from schemas.reports import PseudoLabelReport
from schemas.train_recipes import RANDOM
from student.optimizer import short_of_full_rate
from teacher.grounder import teacher_digest
from teacher.torch_device import choose_device

# Fields that the student's evaluation takes from the teacher's: how a model is run and, if both are GLIPs, sizes.
RUN_BY, OF_GLIP = {"device", "batch_size", "precision", "threads"}, {"compile", "min_size", "max_size"}


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """The plan of a generation. ``recipe`` is pinned: registry names have their number. ``exams``: the evaluation of
    the teacher; that of the student differs in the checkpoint."""

    folder: Path
    recipe: GenerationRecipe
    training: TrainRecipe
    exams: EvaluateRecipe

    def import_human(self) -> None:
        """Import the human datasets for training and evaluation, unless that has been done."""
        for source in (*self.recipe.gold, *self.recipe.evaluation):
            import_source(source, self.folder / "gold" / source.name)

    def check_exams(self) -> list[str]:
        """Check the evaluations before hours of labelling and training; returns warnings as :func:`check_apart`.
        ValueError where an evaluation of the imported data is impossible, or all of a dataset's pictures are trained
        on."""
        learned = [Store(self.folder / "gold" / source.name) for source in self.recipe.gold]
        apart = check_apart(self.exams.datasets, learned)
        check_evaluation(self.exams)
        names = metric_names(self.exams)
        for rule in self.recipe.gate.rules:
            check_metric(rule.metric, names, "gate", rule.dataset)
        told = short_of_full_rate(self.training) + apart
        return told + (check_before(self.training.evaluation, learned) if self.training.evaluation is not None else [])

    def candidate(self, trained: str) -> str:
        """The folder of the weights that the gate judges; ``trained`` is the folder of the run's model."""
        run, kind, start = self.folder / "student", self.recipe.candidate, self.training
        return candidate_model(run, trained, kind, start.init, sha256=start.init_sha256, tokenizer=start.tokenizer)

    def exams_of(self, student: str) -> EvaluateRecipe:
        """The evaluation recipe of the student, a GLIP in the folder ``student``, whatever the teacher is. Pictures
        have the same size as for the teacher if that is a GLIP, too."""
        teacher = self.exams.teacher
        same = RUN_BY | (OF_GLIP if teacher.grounder == "glip" else set())
        own = TeacherRecipe.model_validate({"checkpoint": student, **{name: getattr(teacher, name) for name in same}})
        return self.exams.model_copy(update={"teacher": own})

    def judge_pseudo_labels(self) -> PseudoLabelReport | None:
        """Score the pseudo-labels against hidden boxes, if the recipe has some; no other step sees these."""
        recipe, folder = self.recipe, self.folder
        if recipe.truth is None:
            return None
        truth = recipe.truth.path or folder / "truth"
        if recipe.truth.format == "scenes":
            assert isinstance(recipe.label.source, ScenesSource), "the recipe has been checked"
            import_gold("scenes", recipe.label.source, truth)
        return pseudo_quality(folder / "pseudo", truth, folder, also=[recipe.selection])


def plan_generation(recipe: GenerationRecipe, folder: Path) -> GenerationPlan:
    """Plan a generation, or resume the one in ``folder``. ValueError where the recipe, a checkpoint, the truth or the
    selection is wrong, where the student could not be promoted, or where the folder has another generation."""
    recipe = _pinned(recipe, folder)
    plan = GenerationPlan(folder, recipe, _train_recipe(recipe, folder), _exam_recipe(recipe, folder))
    teacher = teacher_digest(local_teacher(recipe.label.teacher))
    _check_start(plan.training, recipe.label.teacher)
    check_training(plan.training, recipe.train_workers or 1)
    if (plan.exams.backend or "inline") == "inline":
        choose_device(plan.exams.teacher.device)
    check_candidate(recipe.candidate, plan.training.init)
    if recipe.truth is not None and recipe.truth.path is not None:
        open_truth(recipe.truth.path)
    check_agreement(recipe.selection, recipe.label.teacher)
    check_teacher(recipe.selection, teacher)
    if recipe.registry is not None and not (folder / DECISION).exists():
        Store(recipe.registry).check_writable()
        check_teacher_is_current(recipe.registry, teacher, recipe.label.teacher)
    _claim(folder, recipe)
    return plan


def _check_start(training: TrainRecipe, teacher: TeacherRecipe) -> None:
    """Raise ValueError or FileNotFoundError where a file that the student begins from is missing. The teacher's
    checkpoint has been checked before."""
    for field in ("image_tower", "text_tower"):
        file = getattr(training, field)
        if file is not None and not Path(file).is_file():
            raise ValueError(f"train.{field}: there is no file {file} on this machine")
    if training.init.startswith(RANDOM) or training.init == teacher.checkpoint:
        return
    start = {"checkpoint": training.init, "checkpoint_sha256": training.init_sha256, "tokenizer": training.tokenizer}
    teacher_digest(local_teacher(TeacherRecipe.model_validate(start)))


def import_source(source: GoldSource, folder: Path) -> None:
    """Import one of the recipe's human datasets into ``folder``, unless that has been done."""
    annotations = source.scenes if source.scenes is not None else source.path
    assert annotations is not None, "the recipe has been checked"
    import_gold(source.format, annotations, folder)


def _pinned(recipe: GenerationRecipe, folder: Path) -> GenerationRecipe:
    """The recipe with registry models pinned to the versions that the generation begins, or was begun, with."""
    begun_with = _begun_with(folder / RECIPE)
    teacher = pinned_teacher(recipe.label.teacher, begun_with.label.teacher if begun_with else None)
    train = dict(recipe.train)
    if "init" in train:
        train["init"] = pinned(str(train["init"]), str(begun_with.train.get("init", "")) if begun_with else None)
    label_recipe = recipe.label.model_copy(update={"teacher": teacher})
    return recipe.model_copy(update={"label": label_recipe, "train": train})


def _begun_with(saved: Path) -> GenerationRecipe | None:
    try:
        return GenerationRecipe.model_validate_json(saved.read_bytes()) if saved.exists() else None
    except ValidationError:  # no recipe of this version: the folder is refused when it is claimed
        return None


def _claim(folder: Path, recipe: GenerationRecipe) -> None:
    """Save the recipe in the folder, or check that the saved one is equal. ValueError where it is not."""
    if not (folder / RECIPE).exists():
        Store(folder).write_document(RECIPE, recipe)
        return
    begun_with = _begun_with(folder / RECIPE)
    if begun_with is None or begun_with.model_dump(mode="json") != recipe.model_dump(mode="json"):
        raise ValueError(f"{folder} holds a generation of another recipe ({RECIPE} differs); give another --out")


def _train_recipe(recipe: GenerationRecipe, folder: Path) -> TrainRecipe:
    """The student's recipe: human data and pseudo-labels in one mix, by default from the teacher's weights."""
    human = [
        MixEntry(dataset=str(folder / "gold" / source.name), weight=recipe.gold_weights.get(source.name, 1.0))
        for source in recipe.gold
    ]
    pseudo = MixEntry(dataset=str(folder / "pseudo"), weight=recipe.pseudo_weight, selection=recipe.selection)
    return recipe.training((*human, pseudo))


def _exam_recipe(recipe: GenerationRecipe, folder: Path) -> EvaluateRecipe:
    """The evaluation recipe of the teacher. Constant boxes are fitted, and frequencies of phrases counted, on the human
    training data."""
    datasets, human = (
        tuple(str(folder / "gold" / source.name) for source in sources) for sources in (recipe.evaluation, recipe.gold)
    )
    return recipe.examination(datasets, human)
