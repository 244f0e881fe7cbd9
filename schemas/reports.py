"""What a user reads: counts, evaluation figures, the decision of the gate. JSON on disk, one class a document."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Document(BaseModel):
    """A JSON document of ours: unknown fields are refused, so that a typo or another format is seen at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageCounts(Document):
    """What came into one stage, what went on, what was dropped by reason. Counts of units add up to counts of a job.

    ``phrases_left_out``: phrases on the stop list or too long for the teacher, of samples that went on with others.
    ``computing_seconds`` of ``elapsed_seconds`` the model of a stage computed; zero for stages without one.
    """

    stage: str
    came_in: int = Field(ge=0)
    went_on: int = Field(ge=0)
    dropped: dict[str, int] = {}
    phrases_left_out: int = Field(default=0, ge=0)
    seconds: float = 0.0
    computing_seconds: float = 0.0
    elapsed_seconds: float = 0.0

    @model_validator(mode="after")
    def _nothing_vanishes(self) -> StageCounts:
        if self.came_in != self.went_on + sum(self.dropped.values()):
            raise ValueError(
                f"stage {self.stage!r}: {self.came_in} came in, but {self.went_on} went on and "
                f"{sum(self.dropped.values())} were dropped; kept + dropped must equal the input"
            )
        return self

    def __add__(self, other: StageCounts) -> StageCounts:
        if self.stage != other.stage:
            raise ValueError(f"counts of stage {self.stage!r} cannot be added to those of {other.stage!r}")
        reasons = sorted(self.dropped.keys() | other.dropped.keys())
        return StageCounts(
            stage=self.stage,
            came_in=self.came_in + other.came_in,
            went_on=self.went_on + other.went_on,
            dropped={reason: self.dropped.get(reason, 0) + other.dropped.get(reason, 0) for reason in reasons},
            phrases_left_out=self.phrases_left_out + other.phrases_left_out,
            seconds=self.seconds + other.seconds,
            computing_seconds=self.computing_seconds + other.computing_seconds,
            elapsed_seconds=self.elapsed_seconds + other.elapsed_seconds,
        )

    def without_times(self) -> StageCounts:
        """The counts alone, which equal work makes equal."""
        return self.model_copy(update={"seconds": 0.0, "computing_seconds": 0.0, "elapsed_seconds": 0.0})


class MetricValue(Document):
    """One figure. ``name`` is such as ``phrase_recall@1``; ``count`` is the number of things that it was taken over;
    ``baseline`` is what the best constant boxes reach on the same things, where that was asked for."""

    name: str
    value: float | None
    count: int
    baseline: float | None = None


class ClassMatches(Document):
    """How the detections of one class came out, best score first. Lists run in parallel, one entry a detection.

    ``image`` numbers the image; bit ``t`` of ``right`` is set where the detection matched a human box at IoU
    0.5 + 0.05 t, of ``ignored`` where it is neither right nor wrong (crowds). ``gold`` has the image of each human box.
    ``groups`` are those that the class belongs to, such as ``tail`` and ``other`` (than a person).
    """

    name: str
    groups: list[str] = []
    gold: list[int]
    image: list[int]
    right: list[int]
    ignored: list[int]


class DetectionMatches(Document):
    """What average precision is computed from, kept so that it can be computed again on any resample of the images."""

    images: list[str]
    classes: list[ClassMatches]


class PrecisionRecall(Document):
    """A precision-recall curve at IoU 0.5, over ``phrases``, or the mean one over ``classes``.

    Lists run in parallel, recall rising. ``score`` is the lowest score that counts at each point; it is empty for
    classes, since each class reaches a recall at another score.
    """

    over: Literal["phrases", "classes"]
    recall: list[float]
    precision: list[float]
    score: list[float]


class EvaluationReport(Document):
    """The figures of one model on one set of human-annotated data.

    ``per_image`` holds, for each metric that is a mean, its value in each image by image key, and ``per_image_count``
    the number of things that it was taken over; the metric is their weighted mean. Average precision is no mean over
    images: ``detections`` (COCO), ``federated`` (LVIS' fixed AP) and ``voc`` (Pascal VOC, IoU 0.5 in bit 0) hold the
    matches that it is computed from. The gate's bootstrap resamples all of them.
    """

    model_digest: str
    dataset: str
    dataset_fingerprint: str
    prompts: dict[str, str] = Field(default={}, description="what classes were asked by, but for their own names")
    metrics: list[MetricValue]
    per_image: dict[str, dict[str, float]] = Field(default={}, repr=False)
    per_image_count: dict[str, dict[str, int]] = Field(default={}, repr=False)
    detections: DetectionMatches | None = Field(default=None, repr=False)
    federated: DetectionMatches | None = Field(default=None, repr=False)
    voc: DetectionMatches | None = Field(default=None, repr=False)
    curve: PrecisionRecall | None = Field(default=None, repr=False)
    outcomes: dict[str, int] = Field(default={}, description="boxes by what became of them (`engine.metrics.judged`)")
    images: int = 0
    seconds: float = Field(default=0.0, description="of work on its units, of all workers together")

    def value(self, name: str) -> float | None:
        """The value of metric ``name``; KeyError names the metrics there are."""
        for metric in self.metrics:
            if metric.name == name:
                return metric.value
        raise KeyError(f"no metric {name!r} in this report; there are: {', '.join(m.name for m in self.metrics)}")


class Evaluation(Document):
    """``evaluation.json``: the reports of one run, one a dataset, and the recipe that asked for them.

    ``auxiliary_digest``: of the data that figures depend on besides model and datasets (baselines, frequencies); None
    where there are none.
    """

    recipe: dict[str, object]
    reports: list[EvaluationReport]
    auxiliary_digest: str | None = None


class PseudoLabelFigures(Document):
    """How good the boxes are that one selection keeps, by hidden human boxes. Shares are None where nothing counts.

    ``precision``: right / (right + wrong) boxes; boxes that cannot be judged are in ``not_judged``, by reason.
    ``phrase_recall``: share of the phrases that may refer to a human box which have a right box.
    ``box_recall``: share of the human boxes that some phrase of the caption may refer to which a right box covers.
    """

    selection: str
    boxes: int
    right: int
    wrong: int
    not_judged: dict[str, int]
    precision: float | None
    phrases: int
    phrases_found: int
    phrase_recall: float | None
    human_boxes: int
    human_boxes_found: int
    box_recall: float | None


class PseudoLabelReport(Document):
    """Pseudo-labels against hidden human boxes: at each preset, and by the lowest score that is kept."""

    dataset: str
    truth: str
    images: int = Field(description="labelled images that have truth")
    images_not_labelled: int = Field(
        description="images of the truth that no reader of the dataset gets, as it lacks them or leaves them out as "
        "duplicates: they count nowhere"
    )
    presets: list[PseudoLabelFigures]
    curve: list[PseudoLabelFigures]


class MetricComparison(Document):
    """Candidate against incumbent on one metric of one dataset, and whether the rule has passed.

    ``interval`` is the bootstrap interval of ``difference``. The figures are None where a report lacks the metric: then
    the rule has not passed. ``least`` is the value that the candidate must reach under a rule ``exceed``; the
    difference then decides nothing.
    """

    metric: str
    dataset: str = ""
    rule: str
    incumbent: float | None
    candidate: float | None
    difference: float | None
    interval: tuple[float, float] | None
    images: int = 0
    least: float | None = None
    passed: bool
    reason: str


class PromotionDecision(Document):
    """Whether the student becomes the next teacher, every number it rests on, and the reason in plain words."""

    promote: bool
    reason: str
    candidate_digest: str
    incumbent_digest: str
    comparisons: list[MetricComparison]
    confidence: float | None = Field(default=None, description="of the intervals, where a rule has none of its own")
    resamples: int | None = None
    seed: int | None = None


class LineageNode(Document):
    """An artefact and what it was made from.

    ``kind``: source, dataset, calibration, checkpoint, evaluation, decision, report or version. ``path``: inside the
    generation's folder, or where an artefact from outside was found. ``made_by``: the code and its version. ``slices``:
    the rows of a source that were read.
    """

    kind: str
    path: str
    digest: str
    parents: list[str] = []
    made_by: str = ""
    recipe_digest: str | None = None
    seeds: dict[str, int] = {}
    slices: list[str] = []


class Lineage(Document):
    """``lineage.json``: every artefact of a generation; ``parents`` are digests of other nodes."""

    nodes: list[LineageNode]
