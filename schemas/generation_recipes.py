"""One turn of self-training: what a generation labels, learns from, is examined on, and asks of its student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from schemas.evaluate_recipes import EvaluateRecipe, MetricName, protocol_of
from schemas.label_recipes import LabelRecipe, SelectionChoice, TeacherRecipe
from schemas.recipe_files import Recipe, make_recipe
from schemas.source_recipes import ScenesSource
from schemas.train_recipes import MixEntry, TrainRecipe


class PromotionRule(Recipe):
    """What the gate asks of one metric."""

    metric: MetricName
    """A name as the evaluation prints it: ``phrase_recall@1``, ``AP``, ``AP50/person``, ``AP50:other``; by how frequent
    heads and classes are in human data ``phrase_recall@1:tail``, ``AP50:unseen``; ``lvis_APr``; ``voc07_AP``,
    ``voc12_AP/dog``. The evaluation must include the protocol that gives it."""
    dataset: str | None = None
    """Name of the evaluation dataset that the rule looks at. By default every one that has the metric."""
    must: Literal["improve", "not_worsen", "exceed"] = "not_worsen"
    """``improve``: the interval of the difference lies above zero; ``not_worsen``: above ``-margin``;
    ``exceed``: the candidate's value is at least ``margin``."""
    margin: float = Field(default=0.0, ge=0)
    """In the metric's own unit, a share: 0.01 is one point."""
    confidence: float | None = Field(default=None, gt=0.5, lt=1)
    """Confidence of this rule's interval. By default the gate's."""


class GateRecipe(Recipe):
    """When a student becomes the next teacher: all rules must pass."""

    rules: tuple[PromotionRule, ...] = Field(
        default=(
            PromotionRule(metric="phrase_recall@1", must="improve"),
            PromotionRule(metric="AP50", must="not_worsen", margin=0.01),
        ),
        min_length=1,
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the bootstrap's interval, which has two sides: at 0.95, a candidate that is no better passes
    ``improve`` once in 40 times."""
    resamples: int = Field(default=2000, ge=100)
    """Resamples of the images that the bootstrap draws."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap."""


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
    """What the generation is called in its report and in the lineage of what comes of it."""
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

    @model_validator(mode="after")
    def _rules_are_on_what_is_evaluated(self) -> GenerationRecipe:
        self.training((MixEntry(dataset="human"),))  # a slip there is found now, and not when it is its turn
        protocols, names = self.examination(("held-out",), ()).protocols, {source.name for source in self.evaluation}
        for rule in self.gate.rules:
            needed = protocol_of(rule.metric)
            if needed not in protocols:
                raise ValueError(
                    f"the gate has a rule on {rule.metric!r}, which protocol {needed!r} gives; add it to "
                    f"evaluate.protocols ({', '.join(protocols)})"
                )
            if rule.dataset is not None and rule.dataset not in names:
                raise ValueError(
                    f"the gate has a rule on the dataset {rule.dataset!r}; those of `evaluation` are "
                    f"{', '.join(sorted(names))}"
                )
        return self

    def training(self, mix: Sequence[MixEntry]) -> TrainRecipe:
        """The student's training recipe with this mix. It starts from the teacher's weights unless ``train`` has an
        ``init``."""
        teacher = self.label.teacher
        start = {"init": teacher.checkpoint, "init_sha256": teacher.checkpoint_sha256, "tokenizer": teacher.tokenizer}
        fields = self.train if "init" in self.train else start | self.train
        return make_recipe(TrainRecipe, "train", fields, mix=tuple(mix))

    def examination(self, datasets: Sequence[str], human: Sequence[str]) -> EvaluateRecipe:
        """The recipe by which the teacher is evaluated on ``datasets``. Unless ``evaluate`` says otherwise, constant
        boxes are fitted and phrase frequencies counted on ``human``, the human data that the student learns from."""
        fields = {"baseline": human, "frequencies": human, **self.evaluate, "teacher": self.examined_teacher()}
        return make_recipe(EvaluateRecipe, "evaluate", fields, datasets=tuple(datasets))

    def examined_teacher(self) -> TeacherRecipe:
        """The teacher that labels, run as ``evaluate.teacher`` says."""
        fields = self.label.teacher.model_dump() | self.evaluate.get("teacher", {})
        return make_recipe(TeacherRecipe, "evaluate.teacher", fields)
