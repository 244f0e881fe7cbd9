"""Which figures an evaluation will have, before anything is asked: a metric that none has is told before hours of work.

In: a recipe, whose datasets are there. Out: the names that its datasets give, which no answer decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.metrics.federated import read_frequencies
from engine.metrics.protocols import Beside, score_by
from engine.metrics.results import Results
from pipelines.evaluation.exams import open_exams
from pipelines.evaluation.phrase_frequency import frequency_groups_of
from schemas.recipes import EvaluateRecipe


def metric_names(recipe: EvaluateRecipe) -> dict[str, list[str]]:
    """The names of the figures of each dataset, by the dataset's: those of a model that answers nothing, without those
    for which there is nothing to find."""
    frequencies = read_frequencies(recipe.lvis_annotations) if recipe.lvis_annotations else None
    groups, found = frequency_groups_of(recipe.frequencies), {}
    for exam in open_exams(recipe):
        results = Results()
        results.add(exam.labels(), {})
        beside = Beside(exam.card.classes, recipe.max_boxes, frequencies, groups.get(exam.card.task))
        figures = score_by(recipe.protocols, exam.card.task, results, beside)
        found[exam.name] = [one.name for one in figures.values if one.count]
    return found


def check_metric(metric: str, names: Mapping[str, Sequence[str]], field: str, dataset: str | None = None) -> None:
    """ValueError where ``dataset``, or none of the datasets, has the metric that a recipe's ``field`` names; ``names``
    as of :func:`metric_names`."""
    of = names if dataset is None else {dataset: names[dataset]}
    if not any(metric in one for one in of.values()):
        known = dict.fromkeys(name for one in of.values() for name in one if "/" not in name)
        who = "no dataset has" if dataset is None else f"{dataset} does not have"
        raise ValueError(f"{field}: {who} {metric!r}; there are: {', '.join(known)}")
