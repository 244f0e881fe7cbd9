"""How frequent a phrase, or a class, is in given data: ``head``, ``mid``, ``tail`` or ``unseen``.

In: dataset folders. Out: by lower-case name, the group of every head lemma of a phrase (with a box or without), or of
every class that has a box (``engine.calibration.frequency_groups``). What is not in it is unseen. Datasets are read as
readers see them without a selection: without duplicates, with reviewers' verdicts applied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from engine.artifacts import Store
from engine.calibration import frequency_groups
from engine.metrics.protocols import Task
from engine.shards import read_card
from engine.view import open_unselected
from schemas.calibration import Frequency
from schemas.shards import SampleLabels


def head_frequencies(datasets: Iterable[str]) -> dict[str, Frequency]:
    """The group of each head lemma of the phrases of ``datasets``, counted together. ValueError where one is none."""
    counts: Counter[str] = Counter()
    for dataset in datasets:
        for labels in _labels(dataset):
            counts.update(phrase.head_lemma.lower() for phrase in labels.phrases)
    return frequency_groups(counts)


def frequency_groups_of(datasets: Iterable[str]) -> dict[Task, dict[str, Frequency]]:
    """For each task among ``datasets``: the groups of the head lemmas (grounding), or of the classes by their boxes
    (detection)."""
    by_task: dict[Task, list[str]] = {}
    for dataset in datasets:
        by_task.setdefault(read_card(Store(dataset)).task, []).append(dataset)
    found: dict[Task, dict[str, Frequency]] = {}
    for task, of_task in by_task.items():
        found[task] = head_frequencies(of_task) if task == "grounding" else _class_frequencies(of_task)
    return found


def _class_frequencies(datasets: Iterable[str]) -> dict[str, Frequency]:
    counts: Counter[str] = Counter()
    for dataset in datasets:
        for labels in _labels(dataset):
            counts.update(labels.phrases[box.phrase].text.lower() for box in labels.boxes)
    return frequency_groups(counts)


def _labels(dataset: str) -> Iterable[SampleLabels]:
    store = Store(dataset)
    view = open_unselected(store)
    return (view.seen(labels)[0] for labels in view.stored(store))
