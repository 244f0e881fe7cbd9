"""What a user reads: counts, evaluation figures, the decision of the gate. JSON on disk, one class a document."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Document(BaseModel):
    """A JSON document of ours: unknown fields are refused, so that a typo or another format is seen at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageCounts(Document):
    """What came into one stage, what went on, what was dropped by reason. Counts of units add up to counts of a job."""

    stage: str
    came_in: int = Field(ge=0)
    went_on: int = Field(ge=0)
    dropped: dict[str, int] = {}
    seconds: float = 0.0

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
            seconds=self.seconds + other.seconds,
        )


class MetricValue(Document):
    """One figure: ``name`` such as ``phrase_recall@1``; ``count`` is the number of things it was taken over."""

    name: str
    value: float | None
    count: int


class EvaluationReport(Document):
    """The figures of one model on one set of human-annotated data.

    ``per_image`` holds for each metric the value of each image (paired over models by image key), which the gate's
    bootstrap resamples.
    """

    model_digest: str
    dataset: str
    dataset_fingerprint: str
    metrics: list[MetricValue]
    per_image: dict[str, dict[str, float]] = {}

    def value(self, name: str) -> float | None:
        """The value of metric ``name``; KeyError names the metrics there are."""
        for metric in self.metrics:
            if metric.name == name:
                return metric.value
        raise KeyError(f"no metric {name!r} in this report; there are: {', '.join(m.name for m in self.metrics)}")


class MetricComparison(Document):
    """Candidate against incumbent on one metric: difference of means with its bootstrap interval, and the verdict."""

    metric: str
    rule: str
    incumbent: float
    candidate: float
    difference: float
    interval: tuple[float, float]
    passed: bool
    reason: str


class PromotionDecision(Document):
    """Whether the student becomes the next teacher, every number it rests on, and the reason in plain words."""

    promote: bool
    reason: str
    candidate_digest: str
    incumbent_digest: str
    comparisons: list[MetricComparison]


class LineageNode(Document):
    """An artefact and what it was made from. ``kind``: source, dataset, checkpoint, evaluation, decision, report."""

    kind: str
    path: str
    digest: str
    parents: list[str] = []
    made_by: str = ""
