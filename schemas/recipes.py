"""What a user writes: recipes, in YAML, checked before any work starts.

A recipe file holds only what differs from the defaults; an unknown field is refused. ``load_recipe`` reads one and
applies ``--set a.b=c`` overrides; the resolved recipe is saved beside what it made. The classes stand in a file for
each job (``source_recipes``, ``label_recipes``, ``train_recipes``, ``evaluate_recipes``); here are the generation,
which puts them together, and the names of all of them.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from schemas.evaluate_recipes import (
    DEFAULT_PROTOCOLS,
    CalibrateRecipe,
    EvaluateRecipe,
    EvaluationProtocol,
    protocol_of,
    protocols_with,
)
from schemas.label_recipes import (
    DEFAULT_DISTANCE,
    FiltersRecipe,
    GroundRecipe,
    LabelRecipe,
    PhrasesRecipe,
    SelectionChoice,
    TeacherRecipe,
)
from schemas.recipe_files import Recipe, explain, load_recipe, make_recipe, read_yaml
from schemas.source_recipes import (
    CocoSource,
    FolderSource,
    ParquetSource,
    ScenesSource,
    Source,
    UrlsSource,
    WebDatasetSource,
)
from schemas.train_recipes import MixEntry, MixSampling, OptimizerRecipe, RunEvaluation, Synonyms, TrainRecipe

__all__ = [
    "DEFAULT_DISTANCE",
    "DEFAULT_PROTOCOLS",
    "EXPORT_FORMATS",
    "GOLD_FILES",
    "CalibrateRecipe",
    "CandidateWeights",
    "CocoSource",
    "EvaluateRecipe",
    "EvaluationProtocol",
    "FiltersRecipe",
    "FolderSource",
    "GateRecipe",
    "GenerationRecipe",
    "GoldFormat",
    "GoldSource",
    "GroundRecipe",
    "LabelRecipe",
    "MixEntry",
    "MixSampling",
    "OptimizerRecipe",
    "ParquetSource",
    "PhrasesRecipe",
    "PromotionRule",
    "Recipe",
    "RunEvaluation",
    "ScenesSource",
    "SelectionChoice",
    "Source",
    "Synonyms",
    "TeacherRecipe",
    "TrainRecipe",
    "TruthRecipe",
    "UrlsSource",
    "WebDatasetSource",
    "explain",
    "load_recipe",
    "make_recipe",
    "protocol_of",
    "protocols_with",
    "read_yaml",
]


class PromotionRule(Recipe):
    """What the gate asks of one metric."""

    metric: str
    """A name as the evaluation prints it: ``phrase_recall@1``, ``AP``, ``AP50/person``, ``AP50:other``; by how frequent
    heads and classes are in human data ``phrase_recall@1:tail``, ``AP50:unseen``; ``lvis_APr``; ``voc07_AP``,
    ``voc12_AP/dog``. The evaluation must include the protocol that gives it."""
    dataset: str | None = None
    """Name of the evaluation dataset that the rule looks at. By default every one that has the metric."""
    must: Literal["improve", "not_worsen", "exceed"] = "not_worsen"
    """``improve``: the interval of the difference lies above zero; ``not_worsen``: above ``-margin``;
    ``exceed``: the candidate's value is at least ``margin``."""
    margin: float = Field(default=0.0, ge=0)
    confidence: float | None = Field(default=None, gt=0.5, lt=1)
    """Confidence of this rule's interval. By default the gate's."""


class GateRecipe(Recipe):
    """When a student becomes the next teacher: all rules must pass."""

    rules: tuple[PromotionRule, ...] = (
        PromotionRule(metric="phrase_recall@1", must="improve"),
        PromotionRule(metric="AP50", must="not_worsen", margin=0.01),
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the bootstrap's interval, which has two sides: at 0.95, a candidate that is no better passes
    ``improve`` once in 40 times."""
    resamples: int = Field(default=2000, ge=100)
    seed: int = 0


CandidateWeights = Literal["ema", "raw", "averaged"]
GoldFormat = Literal[
    "coco",
    "coco-phrases",
    "lvis",
    "voc",
    "yolo",
    "odvg",
    "mdetr",
    "flickr30k",
    "refcoco",
    "grit",
    "glip-tsv",
    "scenes",
]
GOLD_FILES = tuple(format for format in get_args(GoldFormat) if format != "scenes")
EXPORT_FORMATS = (
    *("coco", "coco-phrases", "odvg", "mdetr", "yolo", "voc"),
    *("grit", "glip-tsv", "gligen", "xvlm", "label-studio", "fiftyone"),
)


class GoldSource(Recipe):
    """Human annotations to be imported into the project's format."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    """Name of the dataset's folder inside the generation."""
    format: GoldFormat
    """``coco``: detection JSON; ``coco-phrases``: captions with phrase boxes; ``scenes``: drawn, exact; for the others
    see ``glip-engine import``."""
    path: str | None = None
    """Folder or file of the annotations; none for ``scenes``."""
    scenes: ScenesSource | None = None
    """The scenes, if ``format`` is ``scenes``."""

    @model_validator(mode="after")
    def _has_what_its_format_reads(self) -> GoldSource:
        wanted, other = ("scenes", "path") if self.format == "scenes" else ("path", "scenes")
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"{self.name!r} of format {self.format} takes a field `{wanted}`, and no `{other}`")
        return self


class TruthRecipe(Recipe):
    """Hidden human boxes of the labelled images: for scoring pseudo-labels only, never read by another step."""

    format: Literal["coco", "scenes"]
    """``coco``: a JSON file of boxes and phrases; ``scenes``: what the source of scenes has drawn."""
    path: str | None = None
    """The JSON file; none for ``scenes``."""


class GenerationRecipe(Recipe):
    """One turn of self-training: label, mix, train, evaluate, decide, report."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    label: LabelRecipe
    gold: tuple[GoldSource, ...] = Field(min_length=1)
    """Human datasets that the student learns from, beside the pseudo-labels."""
    evaluation: tuple[GoldSource, ...] = Field(min_length=1)
    """Human datasets that the gate decides on; never trained on."""
    truth: TruthRecipe | None = None
    """Hidden human boxes of the labelled images, if they exist."""
    gold_weights: dict[str, float] = {}
    """Weight of each human dataset in the mix; 1 by default."""
    pseudo_weight: float = Field(default=1.0, gt=0)
    """Weight of the pseudo-labels in the mix."""
    selection: SelectionChoice = "glip"
    """Selection to apply to the pseudo-labels in training."""
    train: dict[str, Any] = {}
    """Fields of ``TrainRecipe`` that differ from its defaults; the mix is filled in here."""
    train_workers: int | None = Field(default=None, gt=0, exclude=True)
    """Processes that train, through Ray Train; by default this one. Not saved, so a run may resume with another."""
    evaluate: dict[str, Any] = {}
    """Fields of ``EvaluateRecipe`` that differ from its defaults; datasets and models are filled in here, so
    ``teacher`` has only how both models are run, such as ``min_size``."""
    candidate: CandidateWeights = "ema"
    """Which weights become the student: the moving average (``ema``), those of the last step (``raw``), or the mean of
    the moving average and the starting weights (``averaged``, which forgets less)."""
    gate: GateRecipe = GateRecipe()
    registry: str | None = None
    """A registry (folder or ``s3://`` prefix) to promote the student into if the gate lets it pass. If it has a current
    version, that must be the teacher: ``label.teacher.checkpoint: registry:URI``."""

    @model_validator(mode="after")
    def _names_are_unique_and_truth_is_of_the_source(self) -> GenerationRecipe:
        names = [source.name for source in (*self.gold, *self.evaluation)]
        if len(set(names)) < len(names):
            raise ValueError(f"human datasets need different names; these came: {', '.join(names)}")
        unknown = self.gold_weights.keys() - {source.name for source in self.gold}
        if unknown:
            raise ValueError(f"gold_weights names {sorted(unknown)}, which is not in gold")
        if self.truth is not None and (self.truth.format == "scenes") != (self.truth.path is None):
            raise ValueError("truth of format coco takes a `path`, of format scenes none")
        if self.truth is not None and self.truth.format == "scenes" and self.label.source.kind != "scenes":
            raise ValueError("truth of format scenes is what a source of scenes has drawn; label.source is none")
        return self

    @model_validator(mode="after")
    def _teacher_and_student_are_told_apart(self) -> GenerationRecipe:
        how = self.evaluate.get("teacher", {})
        if not isinstance(how, dict) or how.keys() & {"grounder", "checkpoint", "checkpoint_sha256", "members"}:
            raise ValueError(
                "evaluate.teacher has fields of how both models are run, such as min_size; which they are is not said "
                "there: the student is compared with label.teacher"
            )
        if self.label.teacher.grounder != "glip" and "init" not in self.train:
            raise ValueError(
                f"train.init is missing: a student is a GLIP, which cannot begin from the weights of a teacher of kind "
                f"{self.label.teacher.grounder!r}; name a checkpoint, such as nano"
            )
        return self

    def examined_teacher(self) -> TeacherRecipe:
        """The teacher that labels, run as ``evaluate.teacher`` says."""
        fields = self.label.teacher.model_dump() | self.evaluate.get("teacher", {})
        return make_recipe(TeacherRecipe, "evaluate.teacher", fields)

    @model_validator(mode="after")
    def _rules_are_on_what_is_evaluated(self) -> GenerationRecipe:
        protocols = self.evaluate.get("protocols", DEFAULT_PROTOCOLS)
        if not isinstance(protocols, list | tuple):
            return self  # which is told where the evaluation's own recipe is made
        for rule in self.gate.rules:
            needed = protocol_of(rule.metric)
            if needed is not None and needed not in protocols:
                raise ValueError(
                    f"the gate has a rule on {rule.metric!r}, which protocol {needed!r} gives; add it to "
                    f"evaluate.protocols ({', '.join(map(str, protocols))})"
                )
        return self
