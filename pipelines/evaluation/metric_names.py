"""Which figures an evaluation will have, known before any model is asked, so that a wrong metric name stops the work
early.

In: a recipe whose datasets exist. Out: the names of their figures, which do not depend on answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.metrics.federated import read_frequencies
from engine.metrics.protocols import ScoringContext, score_by
from engine.metrics.results import Results
from pipelines.evaluation.exams import open_exams
from pipelines.evaluation.phrase_frequency import frequency_groups_of
from schemas.recipes import EvaluateRecipe


def metric_names(recipe: EvaluateRecipe) -> dict[str, list[str]]:
    """By the name of each dataset, the names of its figures; without those that count nothing in it."""
    frequencies = read_frequencies(recipe.lvis_annotations) if recipe.lvis_annotations else None
    groups, found = frequency_groups_of(recipe.frequencies), {}
    for exam in open_exams(recipe):
        results = Results()
        results.add(exam.labels(), {})
        context = ScoringContext(exam.card.classes, recipe.max_boxes, frequencies, groups.get(exam.card.task))
        figures = score_by(recipe.protocols, exam.card.task, results, context)
        found[exam.name] = [one.name for one in figures.values if one.count]
    return found


def check_metric(metric: str, names: Mapping[str, Sequence[str]], field: str, dataset: str | None = None) -> None:
    """ValueError where ``dataset`` (None: every dataset) lacks the metric that the recipe's ``field`` names. ``names``
    is what :func:`metric_names` gives."""
    of = names if dataset is None else {dataset: names[dataset]}
    if not any(metric in one for one in of.values()):
        known = dict.fromkeys(name for one in of.values() for name in one if "/" not in name)
        who = "no dataset has" if dataset is None else f"{dataset} does not have"
        raise ValueError(f"{field}: {who} {metric!r}; there are: {', '.join(known)}")
