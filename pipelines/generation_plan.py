"""What a generation will do, settled before it begins: the teacher's version, what is trained on, what examines.

In: a recipe and the folder. Out: a :class:`GenerationPlan`, with the recipe saved in the folder; a folder that holds a
generation of another recipe is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from engine.artifacts import Store, document_bytes
from engine.gold import import_gold
from engine.selection import check_agreement, check_teacher
from pipelines.models.candidate_weights import check_candidate
from pipelines.models.checkpoints import local_teacher, pinned, pinned_teacher
from pipelines.pseudo_quality import pseudo_quality
from pipelines.registry import check_teacher_is_current
from schemas.recipes import (
    EvaluateRecipe,
    GenerationRecipe,
    GoldSource,
    MixEntry,
    ScenesSource,
    TeacherRecipe,
    TrainRecipe,
    make_recipe,
)
from schemas.reports import PseudoLabelReport
from teacher.grounder import teacher_digest

RECIPE, DECISION = "recipe.json", "decision.json"
# What the student's examination takes from the teacher's: how a model is run, and of another GLIP its picture sizes.
RUN_BY, OF_GLIP = {"device", "batch_size", "precision", "threads"}, {"compile", "min_size", "max_size"}


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """``recipe`` is pinned: a name of a registry has its number. ``exams`` are the teacher's; the student gets the same
    with its own checkpoint."""

    folder: Path
    recipe: GenerationRecipe
    training: TrainRecipe
    exams: EvaluateRecipe

    def import_human(self) -> None:
        """The human datasets, to learn from and to be examined on; what has been imported is left."""
        for source in (*self.recipe.gold, *self.recipe.evaluation):
            import_source(source, self.folder / "gold" / source.name)

    def exams_of(self, student: str) -> EvaluateRecipe:
        """The student's examination: of a GLIP, from its own folder, whatever model and file the teacher is. Pictures
        are of the teacher's size where that is a GLIP too."""
        teacher = self.exams.teacher
        same = RUN_BY | (OF_GLIP if teacher.grounder == "glip" else set())
        own = TeacherRecipe.model_validate({"checkpoint": student, **{name: getattr(teacher, name) for name in same}})
        return self.exams.model_copy(update={"teacher": own})

    def judge_pseudo_labels(self) -> PseudoLabelReport | None:
        """Score the pseudo-labels against hidden boxes, where the recipe has some; no other step sees them."""
        recipe, folder = self.recipe, self.folder
        if recipe.truth is None:
            return None
        truth = recipe.truth.path or folder / "truth"
        if recipe.truth.format == "scenes":
            assert isinstance(recipe.label.source, ScenesSource), "the recipe has been checked"
            import_gold("scenes", recipe.label.source, truth)
        return pseudo_quality(folder / "pseudo", truth, folder, also=[recipe.selection])


def plan_generation(recipe: GenerationRecipe, folder: Path) -> GenerationPlan:
    """Settle a generation, or take up the one in ``folder``. ValueError where the recipe, a checkpoint or the selection
    is wrong, where the student could not be promoted, or where the folder holds another generation."""
    recipe = _pinned(recipe, folder)
    plan = GenerationPlan(folder, recipe, _train_recipe(recipe, folder), _exam_recipe(recipe, folder))
    teacher = teacher_digest(local_teacher(recipe.label.teacher))
    check_candidate(recipe.candidate, plan.training.init)
    check_agreement(recipe.selection, recipe.label.teacher)
    check_teacher(recipe.selection, teacher)
    if recipe.registry is not None and not (folder / DECISION).exists():
        check_teacher_is_current(recipe.registry, teacher, recipe.label.teacher)
    _claim(folder, recipe)
    return plan


def import_source(source: GoldSource, folder: Path) -> None:
    """Import one of the recipe's human datasets into ``folder``; does nothing where that has been done."""
    annotations = source.scenes if source.scenes is not None else source.path
    assert annotations is not None, "the recipe has been checked"
    import_gold(source.format, annotations, folder)


def _pinned(recipe: GenerationRecipe, folder: Path) -> GenerationRecipe:
    """With the versions of a registry's models that the generation begins, or was begun, with."""
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
    except ValidationError:  # of another generation, which is said where the folder is claimed
        return None


def _claim(folder: Path, recipe: GenerationRecipe) -> None:
    """Save the recipe in the folder, or make sure that it is the one that is there."""
    store = Store(folder)
    content = document_bytes(recipe)
    if store.exists(RECIPE) and store.read(RECIPE) != content:
        raise ValueError(f"{folder} holds a generation of another recipe ({RECIPE} differs); give another --out")
    store.write(RECIPE, content)


def _train_recipe(recipe: GenerationRecipe, folder: Path) -> TrainRecipe:
    """The student's recipe: human data and pseudo-labels in one mix, by default from the teacher's weights."""
    human = [
        MixEntry(dataset=str(folder / "gold" / source.name), weight=recipe.gold_weights.get(source.name, 1.0))
        for source in recipe.gold
    ]
    pseudo = MixEntry(dataset=str(folder / "pseudo"), weight=recipe.pseudo_weight, selection=recipe.selection)
    teacher = recipe.label.teacher
    start = {"init": teacher.checkpoint, "init_sha256": teacher.checkpoint_sha256, "tokenizer": teacher.tokenizer}
    fields = recipe.train if "init" in recipe.train else start | recipe.train
    return make_recipe(TrainRecipe, "train", fields, mix=(*human, pseudo))


def _exam_recipe(recipe: GenerationRecipe, folder: Path) -> EvaluateRecipe:
    """What the teacher is evaluated on and how; constant boxes are fitted, and the frequencies of phrases counted, on
    the human data."""
    datasets, human = (
        tuple(str(folder / "gold" / source.name) for source in sources) for sources in (recipe.evaluation, recipe.gold)
    )
    fields = {"baseline": human, "frequencies": human, **recipe.evaluate, "teacher": recipe.examined_teacher()}
    return make_recipe(EvaluateRecipe, "evaluate", fields, datasets=datasets)
