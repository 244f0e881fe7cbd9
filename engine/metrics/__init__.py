"""Metrics: each a function from results to ``(name, value)`` pairs, with the values of each image beside them.

In: :class:`ImageResult`, a human-annotated sample with what a grounder answered. Out: :class:`Figures`. To add a
metric, write such a function and call it in ``pipelines/evaluate.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.records import Candidate
from schemas.reports import DetectionMatches, MetricValue
from schemas.shards import SampleLabels


@dataclass(frozen=True, slots=True)
class ImageResult:
    """A human-annotated sample and the grounder's answer.

    ``candidates[i].phrase`` is an index into ``gold.phrases`` for phrase recall, and into the dataset's list of classes
    for detection; boxes are xyxy pixels of the original image on both sides.
    """

    gold: SampleLabels
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """What metrics found: values for a reader, and per image what the gate's bootstrap resamples."""

    values: list[MetricValue]
    per_image: dict[str, dict[str, float]] = field(default_factory=dict)
    per_image_count: dict[str, dict[str, int]] = field(default_factory=dict)
    detections: DetectionMatches | None = None


def image_identity(labels: SampleLabels) -> str:
    """What a picture is paired by: its content, since several captions (samples) may belong to one picture, and a
    bootstrap that drew them apart would take one picture for many."""
    return labels.image_sha256[:16]
