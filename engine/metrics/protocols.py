"""Every way to score answers, by the name that a recipe gives it.

In: the names of ``EvaluateRecipe.protocols``, results, and what the metrics need beside them. Out: their figures. To
add a metric: a function in a file of its own, a line here, and in ``schemas/evaluate_recipes.py`` its name
(``EvaluationProtocol``) and how the names of its figures begin (``METRIC_PREFIXES``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.metrics import Figures, ImageResult, combined
from engine.metrics.detection import average_precision
from engine.metrics.federated import Frequency, fixed_average_precision
from engine.metrics.grounding import merged_phrase_recall, phrase_recall, phrase_recall_by_group
from engine.metrics.pointing import pointing_at_classes, pointing_at_phrases
from engine.metrics.referring import referring_accuracy
from engine.metrics.voc import voc_average_precision

Task = Literal["grounding", "detection"]


@dataclass(frozen=True, slots=True)
class Beside:
    """What metrics need beside the results: the dataset's classes, how many boxes of an image COCO AP takes, and how
    often LVIS' training pictures show each class, where that is known; ``groups``: how frequent a phrase's head, or a
    class, is in given data (see ``EvaluateRecipe.frequencies``)."""

    classes: Sequence[str] = ()
    max_boxes: int = 100
    frequencies: Mapping[str, Frequency] | None = None
    groups: Mapping[str, str] | None = None


Metric = Callable[[Iterable[ImageResult], Beside], Figures]
"""The results may be gone over more than once (:class:`~engine.metrics.results.Results`)."""


def _phrase_recall(results: Iterable[ImageResult], beside: Beside) -> Figures:
    """Over all phrases and, where it is known how frequent their heads are, by that."""
    over_all, groups = phrase_recall(results), beside.groups
    if groups is None:
        return over_all
    by_group = phrase_recall_by_group(results, lambda phrase: groups.get(phrase.head_lemma.lower(), "unseen"))
    return combined([over_all, by_group])


PROTOCOLS: dict[Task, dict[str, Metric]] = {
    "detection": {
        "coco": lambda results, beside: average_precision(
            results, beside.classes, max_boxes=beside.max_boxes, frequencies=beside.groups
        ),
        "lvis": lambda results, beside: fixed_average_precision(
            results, beside.classes, frequencies=beside.frequencies
        ),
        "voc07": lambda results, beside: voc_average_precision(results, beside.classes, year=2007),
        "voc12": lambda results, beside: voc_average_precision(results, beside.classes, year=2012),
        "pointing": lambda results, beside: pointing_at_classes(results, beside.classes),
    },
    "grounding": {
        "any-box": _phrase_recall,
        "merged-box": lambda results, beside: merged_phrase_recall(results),
        "referring": lambda results, beside: referring_accuracy(results),
        "pointing": lambda results, beside: pointing_at_phrases(results),
    },
}


def protocols_for(task: Task, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that score datasets of this task; ValueError where none does."""
    fitting = [name for name in names if name in PROTOCOLS[task]]
    if not fitting:
        raise ValueError(
            f"none of the protocols {', '.join(names)} scores a {task} dataset; these do: {', '.join(PROTOCOLS[task])}"
        )
    return fitting


def score_by(names: Sequence[str], task: Task, results: Iterable[ImageResult], beside: Beside) -> Figures:
    """The figures of those of the protocols ``names`` that score datasets of this task."""
    return combined(PROTOCOLS[task][name](results, beside) for name in protocols_for(task, names))
