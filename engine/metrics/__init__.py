"""Metrics: each a function from results to ``(name, value)`` pairs, with the values of each image beside them.

In: :class:`ImageResult`, a human-annotated sample with what a grounder answered, one after another. Out:
:class:`Figures`. To add a metric, write such a function, and give it a name in ``metrics/protocols.py``.

    detection.py     COCO AP                          grounding.py     phrase recall, any-box and merged-box
    federated.py     LVIS fixed AP                    referring.py     accuracy on referring expressions
    voc.py           Pascal VOC AP, 2007 and 2012     pointing.py      pointing game
    pseudo_labels.py pseudo-labels against human boxes
    judged.py        what became of every box, for curves and lists of mistakes

A dataset's answers (``results.py``) are columns (``candidates.py``), and metrics fold them picture by picture or some
hundred at a time (``class_boxes.py``, ``matching.py``, ``precision.py``): no box stays an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.metrics.candidates import Candidates
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
    candidates: Sequence[Candidate]

    @property
    def found(self) -> Candidates:
        """The candidates as columns."""
        return Candidates.of(self.candidates)


@dataclass(frozen=True, slots=True)
class Figures:
    """What metrics found: values for a reader, and per image what the gate's bootstrap resamples."""

    values: list[MetricValue]
    per_image: dict[str, dict[str, float]] = field(default_factory=dict)
    per_image_count: dict[str, dict[str, int]] = field(default_factory=dict)
    detections: DetectionMatches | None = None
    federated: DetectionMatches | None = None
    voc: DetectionMatches | None = None


def image_key(labels: SampleLabels) -> str:
    """The key of a picture in ``per_image``: its content, because several captions (samples) may belong to one picture,
    and a bootstrap that drew them separately would count one picture as many."""
    return labels.image_sha256[:16]


def share_of_hits(name: str, hits: Mapping[str, Sequence[bool]]) -> Figures:
    """The share of things that are hit, in [0, 1], from what was hit in each picture; None where there is no thing.

    The value of a picture is the share of its own things, its count their number.
    """
    hits = {image: of_image for image, of_image in hits.items() if of_image}
    total = sum(map(len, hits.values()))
    found = sum(sum(of_image) for of_image in hits.values())
    value = MetricValue(name=name, value=found / total if total else None, count=total)
    shares = {image: sum(of_image) / len(of_image) for image, of_image in hits.items()}
    return Figures([value], {name: shares}, {name: {image: len(of_image) for image, of_image in hits.items()}})


def combined(figures: Iterable[Figures]) -> Figures:
    """Several figures of the same results as one, in their order; of detections those that come first are kept."""
    together = Figures([])
    detections = federated = voc = None
    for one in figures:
        together.values.extend(one.values)
        together.per_image.update(one.per_image)
        together.per_image_count.update(one.per_image_count)
        detections = detections or one.detections
        federated = federated or one.federated
        voc = voc or one.voc
    return replace(together, detections=detections, federated=federated, voc=voc)
