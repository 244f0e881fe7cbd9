"""THE SPINE: one generation of self-training, in the order it happens.

    label > mix > train > evaluate > decide > report

In: a recipe. Out: a folder with all of it; ``lineage.json`` names for each artefact the digests it was made from. What
has been done is not done again, so a generation that was stopped goes on where it stopped.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from engine.artifacts import Store
from engine.gold import import_gold
from engine.promotion import decide
from engine.runner import Backend
from engine.selection import check_teacher
from pipelines.checkpoints import local_teacher, pinned, pinned_teacher
from pipelines.evaluate import evaluate
from pipelines.label import label
from pipelines.lineage import trace
from pipelines.pseudo_quality import pseudo_quality
from pipelines.registry import check_teacher_is_current, promote
from pipelines.report import report
from pipelines.train import train
from schemas.recipes import (
    EvaluateRecipe,
    GenerationRecipe,
    GoldSource,
    MixEntry,
    ScenesSource,
    TrainRecipe,
)
from schemas.reports import Document, PromotionDecision, PseudoLabelReport
from teacher.grounder import teacher_digest

DECISION = "decision.json"


class GenerationSummary(Document):
    """What a generation came to; everything else is in its folder. ``promoted``: the student's name in the recipe's
    registry."""

    name: str
    page: str
    pseudo_samples: int
    pseudo_boxes: int
    student: str
    decision: PromotionDecision
    promoted: str | None = None


def generation(
    recipe: GenerationRecipe,
    out: str | Path,
    *,
    workers: int | None = None,
    backend: Backend = "ray",
    progress: bool = True,
) -> GenerationSummary:
    """Run one generation into the folder ``out``. ``workers`` is the number of teachers that label, on ``backend``.

    ValueError where the recipe, a source or a checkpoint is wrong, or ``out`` holds another generation.
    """
    folder = Path(out)
    recipe = _pinned(recipe, folder)
    training, exams = _train_recipe(recipe, folder), _exam_recipe(recipe, folder)
    teacher = teacher_digest(local_teacher(recipe.label.teacher))
    check_teacher(recipe.selection, teacher)
    if recipe.registry is not None and not (folder / DECISION).exists():
        check_teacher_is_current(recipe.registry, teacher, recipe.label.teacher)
    _claim(folder, recipe)

    say = _announce if progress else _silence
    say("human data")
    for source in (*recipe.gold, *recipe.evaluation):
        import_source(source, folder / "gold" / source.name)
    say("label")
    pseudo = label(recipe.label, folder / "pseudo", workers=workers, backend=backend, progress=progress)
    quality = _judge_pseudo_labels(recipe, folder)
    say("train")
    student = train(training, folder / "student", progress=progress)
    say("evaluate the teacher, then the student")
    candidate_teacher = recipe.label.teacher.model_copy(update={"checkpoint": student.checkpoint})
    incumbent = evaluate(exams, folder / "evaluation" / "teacher", progress=progress)
    candidate = evaluate(
        exams.model_copy(update={"teacher": candidate_teacher}), folder / "evaluation" / "student", progress=progress
    )
    decision = decide(candidate, incumbent, recipe.gate)
    Store(folder).write(DECISION, (decision.model_dump_json(indent=1) + "\n").encode())
    page = report(
        [folder / "pseudo"],
        folder / "report",
        evaluations={"teacher": incumbent, "student": candidate},
        decision=decision,
        quality=quality,
        selection=recipe.selection,
        title=f"Generation {recipe.name}",
    )
    trace(folder, recipe, student.checkpoint, incumbent, candidate)
    say("promote" if decision.promote else "keep the teacher", decision.reason)
    promoted = None
    if decision.promote and recipe.registry is not None:
        promoted = promote(folder, recipe.registry, progress=progress).name
    say("report", str(page))
    return GenerationSummary(
        name=recipe.name,
        page=str(page),
        pseudo_samples=pseudo.samples,
        pseudo_boxes=pseudo.boxes,
        student=student.checkpoint,
        decision=decision,
        promoted=promoted,
    )


def import_source(source: GoldSource, folder: Path) -> None:
    """Import one of the recipe's human datasets into ``folder``; does nothing where that has been done."""
    annotations = source.scenes if source.scenes is not None else source.path
    assert annotations is not None, "the recipe has been checked"
    import_gold(source.format, annotations, folder)


def _pinned(recipe: GenerationRecipe, folder: Path) -> GenerationRecipe:
    """With the versions of a registry's models that the generation begins, or was begun, with."""
    begun_with = _begun_with(folder / "recipe.json")
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
    store, name = Store(folder), "recipe.json"
    content = (recipe.model_dump_json(indent=1) + "\n").encode()
    if store.exists(name) and store.read(name) != content:
        raise ValueError(f"{folder} holds a generation of another recipe ({name} differs); give another --out")
    store.write(name, content)


def _judge_pseudo_labels(recipe: GenerationRecipe, folder: Path) -> PseudoLabelReport | None:
    """Score the pseudo-labels against hidden boxes, where the recipe has some; no other step sees them."""
    if recipe.truth is None:
        return None
    truth = recipe.truth.path or folder / "truth"
    if recipe.truth.format == "scenes":
        assert isinstance(recipe.label.source, ScenesSource), "the recipe has been checked"
        import_gold("scenes", recipe.label.source, truth)
    return pseudo_quality(folder / "pseudo", truth, folder, also=[recipe.selection])


def _train_recipe(recipe: GenerationRecipe, folder: Path) -> TrainRecipe:
    """The student's recipe: human data and pseudo-labels in one mix, by default from the teacher's weights."""
    human = [
        MixEntry(dataset=str(folder / "gold" / source.name), weight=recipe.gold_weights.get(source.name, 1.0))
        for source in recipe.gold
    ]
    pseudo = MixEntry(dataset=str(folder / "pseudo"), weight=recipe.pseudo_weight, selection=recipe.selection)
    return TrainRecipe(mix=(*human, pseudo), **{"init": recipe.label.teacher.checkpoint, **recipe.train})


def _exam_recipe(recipe: GenerationRecipe, folder: Path) -> EvaluateRecipe:
    """What the teacher is evaluated on and how, beside constant boxes fitted on the human data; the student gets the
    same with its own checkpoint."""
    datasets, human = (
        tuple(str(folder / "gold" / source.name) for source in sources) for sources in (recipe.evaluation, recipe.gold)
    )
    defaults = {"teacher": recipe.label.teacher, "baseline": human}
    return EvaluateRecipe(datasets=datasets, **{**defaults, **recipe.evaluate})


def _announce(step: str, what: str = "") -> None:
    print(f"== {step}" + (f": {what}" if what else ""), flush=True)


def _silence(step: str, what: str = "") -> None:
    pass
