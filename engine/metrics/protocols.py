"""Every way to score answers, by the name that a recipe gives it.

In: the names of ``EvaluateRecipe.protocols``, results, and a :class:`ScoringContext`. Out: their figures. To add a
metric: a function in a file of its own, a line here, and in ``schemas/evaluate_recipes.py`` its name
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
class ScoringContext:
    """What metrics need to know besides the results.

    ``classes``: of the dataset, in the order by which candidates number them. ``max_boxes``: how many boxes of an image
    COCO AP takes. ``frequencies``: how often LVIS' training pictures show each class. ``groups``: how frequent each
    head lemma, or class, is in the data of ``EvaluateRecipe.frequencies``. The last two are None where they are not
    known.
    """

    classes: Sequence[str] = ()
    max_boxes: int = 100
    frequencies: Mapping[str, Frequency] | None = None
    groups: Mapping[str, str] | None = None


Metric = Callable[[Iterable[ImageResult], ScoringContext], Figures]
"""The results may be gone over more than once (:class:`~engine.metrics.results.Results`)."""


def _phrase_recall(results: Iterable[ImageResult], context: ScoringContext) -> Figures:
    """Recall over all phrases and, where ``context.groups`` is known, over the phrases of each group too."""
    over_all, groups = phrase_recall(results), context.groups
    if groups is None:
        return over_all
    by_group = phrase_recall_by_group(results, lambda phrase: groups.get(phrase.head_lemma.lower(), "unseen"))
    return combined([over_all, by_group])


PROTOCOLS: dict[Task, dict[str, Metric]] = {
    "detection": {
        "coco": lambda results, context: average_precision(
            results, context.classes, max_boxes=context.max_boxes, frequencies=context.groups
        ),
        "lvis": lambda results, context: fixed_average_precision(
            results, context.classes, frequencies=context.frequencies
        ),
        "voc07": lambda results, context: voc_average_precision(results, context.classes, year=2007),
        "voc12": lambda results, context: voc_average_precision(results, context.classes, year=2012),
        "pointing": lambda results, context: pointing_at_classes(results, context.classes),
    },
    "grounding": {
        "any-box": _phrase_recall,
        "merged-box": lambda results, context: merged_phrase_recall(results),
        "referring": lambda results, context: referring_accuracy(results),
        "pointing": lambda results, context: pointing_at_phrases(results),
    },
}


def protocols_for(task: Task, names: Sequence[str]) -> list[str]:
    """The protocols among ``names`` that score datasets of this task; ValueError where none does."""
    fitting = [name for name in names if name in PROTOCOLS[task]]
    if not fitting:
        raise ValueError(
            f"none of the protocols {', '.join(names)} scores a {task} dataset; these do: {', '.join(PROTOCOLS[task])}"
        )
    return fitting


def score_by(names: Sequence[str], task: Task, results: Iterable[ImageResult], context: ScoringContext) -> Figures:
    """The figures of those of the protocols ``names`` that score datasets of this task."""
    return combined(PROTOCOLS[task][name](results, context) for name in protocols_for(task, names))
