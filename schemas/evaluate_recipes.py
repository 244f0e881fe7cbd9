"""How a grounder is evaluated, and how its scores are calibrated, on human annotations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from schemas.class_prompts import ClassPrompts
from schemas.label_recipes import TeacherRecipe
from schemas.recipe_files import Recipe

EvaluationProtocol = Literal["coco", "lvis", "voc07", "voc12", "any-box", "merged-box", "referring", "pointing"]
DEFAULT_PROTOCOLS: tuple[EvaluationProtocol, ...] = ("coco", "any-box")
METRIC_PREFIXES: dict[str, EvaluationProtocol] = {
    "AP": "coco",
    "lvis_AP": "lvis",
    "voc07_AP": "voc07",
    "voc12_AP": "voc12",
    "phrase_recall@": "any-box",
    "phrase_recall_merged@": "merged-box",
    "referring_accuracy": "referring",
    "pointing": "pointing",
}


def protocol_of(metric: str) -> EvaluationProtocol | None:
    """The protocol that gives a metric, by its name; None of a name that none gives.

    >>> protocol_of("voc07_AP/dog")
    'voc07'
    """
    return next((protocol for prefix, protocol in METRIC_PREFIXES.items() if metric.startswith(prefix)), None)


def _given_by_a_protocol(metric: str) -> str:
    if protocol_of(metric) is None:
        raise ValueError(f"no evaluation gives {metric!r}; names of figures begin with {', '.join(METRIC_PREFIXES)}")
    return metric


MetricName = Annotated[str, AfterValidator(_given_by_a_protocol)]
"""The name of a figure as an evaluation prints it. Whether a dataset has it, its data decide."""


def protocols_with(metric: str) -> tuple[EvaluationProtocol, ...]:
    """The protocols of an evaluation that is there for one metric: the default ones, and its own."""
    own = protocol_of(metric)
    return DEFAULT_PROTOCOLS if own is None or own in DEFAULT_PROTOCOLS else (*DEFAULT_PROTOCOLS, own)


class EvaluateRecipe(Recipe):
    """An evaluation of one grounder on human-annotated datasets of this project's format."""

    datasets: tuple[str, ...] = Field(min_length=1)
    """Folders of human datasets. By default grounding datasets give phrase recall, detection datasets COCO AP."""
    protocols: tuple[EvaluationProtocol, ...] = Field(default=DEFAULT_PROTOCOLS, min_length=1)
    """How to score answers; each dataset uses those that fit its task. Detection: ``coco`` AP, ``lvis`` (fixed AP),
    ``voc07`` and ``voc12`` (11 points, area), ``pointing``. Grounding: Recall@1/5/10 by ``any-box`` and ``merged-box``,
    ``referring`` (accuracy at IoU 0.5), ``pointing``."""
    lvis_annotations: str | None = None
    """LVIS' annotation file, which says which classes are rare, common and frequent. Without it, ``lvis`` gives no AP
    for these three groups."""
    teacher: TeacherRecipe = TeacherRecipe()
    min_score: float = Field(default=0.01, ge=0, lt=1)
    """Boxes with a lower score are ignored."""
    max_boxes: int = Field(default=100, gt=0)
    """Boxes per image that COCO AP takes, the best first."""
    chunk_classes: int = Field(default=40, gt=0)
    """Class names in one prompt of a detection dataset."""
    prompts: dict[str, ClassPrompts] = {}
    """Knowledge prompts, by the name of the dataset's folder and the class: a phrase to ask with instead of the class's
    name, or ``prefix``, ``name`` and ``suffix``, where boxes belong only to the name. Other classes are asked by their
    own names."""
    frequencies: tuple[str, ...] = ()
    """Human datasets in which to count phrase heads and classes. Figures are then also given by how frequent these are,
    as ``phrase_recall@1:tail`` and ``AP50:unseen`` (``head``, ``mid``, ``tail``, ``unseen``)."""
    limit: int | None = Field(default=None, gt=0)
    """Use only the first so many samples of each dataset."""
    backend: Literal["inline", "ray"] | None = Field(default=None, exclude=True)
    """Where the model runs: in this process, or on Ray as in labelling. By default the command ``evaluate`` uses Ray,
    and a generation or ``few-shot`` runs inline. This and ``workers`` change no figure and are not saved with them."""
    workers: int | None = Field(default=None, gt=0, exclude=True)
    """Models on Ray. By default one for each GPU or CPU slot."""
    baseline: tuple[str, ...] = ()
    """Human datasets to fit the best constant box per phrase head (or class) on, which is shown beside the model. Never
    use one that is evaluated on."""


class CalibrateRecipe(Recipe):
    """How a teacher's scores are fitted to the precision they reach on human annotations, or by reviewers' verdicts."""

    datasets: tuple[str, ...] = ()
    """Folders of human grounding datasets, preferably ones that the teacher was not trained on. Never those that
    pseudo-labels are scored on. May be empty if there are ``verdicts``."""
    verdicts: tuple[str, ...] = ()
    """Folders of datasets with this teacher's labels that people have reviewed (`glip-engine serve`): accepted boxes
    are right, rejected ones are not. Without ``datasets``, no teacher runs; the calibration is for the one that
    labelled them."""
    teacher: TeacherRecipe = TeacherRecipe()
    min_score: float = Field(default=0.05, gt=0, lt=1)
    """The floor of the labels that the calibration is for."""
    max_boxes_per_phrase: int = Field(default=20, gt=0)
    """That of the labels that the calibration is for."""
    precision: float = Field(default=0.7, gt=0, lt=1)
    """The target of readers that name none."""
    confidence: float = Field(default=0.9, gt=0.5, lt=1)
    """Confidence of the one-sided bound that must reach the target."""
    shrinkage: float = Field(default=20.0, ge=0)
    """Add so many pictures of all groups to those of each group, but never more than it has itself. Groups with few
    pictures lean on the others, and what was never judged is not vouched for."""
    frequencies: tuple[str, ...] = ()
    """Datasets in which to count the phrases' heads, such as the labels themselves. By default the human ones, else the
    reviewed ones."""
    limit: int | None = Field(default=None, gt=0)
    """Use only the first so many samples of each human dataset."""
    seed: int = Field(default=0, ge=0)
    """Seed for halving the pictures for the check."""

    @model_validator(mode="after")
    def _something_is_judged(self) -> CalibrateRecipe:
        if not self.datasets and not self.verdicts:
            raise ValueError("give `datasets` (--on), human ones, or `verdicts` (--verdicts), reviewed ones")
        return self
