"""The answers to a dataset, unit by unit: boxes as columns, human labels as the stored JSON text.

In: for each unit the labels of its samples and the answers to them. Out: an iterable that metrics go over as often as
they like. Each :class:`~engine.metrics.ImageResult` is made when its turn comes and freed after it, so the memory is
that of the stored numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from engine.metrics import ImageResult
from engine.metrics.candidates import NO_CANDIDATES, Candidates
from engine.shards import sample_json
from schemas.shards import SampleLabels


class Results(Iterable[ImageResult]):
    """Results in the order in which their units were added."""

    def __init__(self) -> None:
        self._labels: list[bytes] = []
        self._candidates: list[Candidates] = []

    def add(self, labels: Iterable[SampleLabels], answers: Mapping[str, Candidates]) -> None:
        """Add a unit: its samples, and what was answered by key; one without an answer has no candidates."""
        for one in labels:
            self._labels.append(sample_json(one))
            self._candidates.append(answers.get(one.key, NO_CANDIDATES))

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[ImageResult]:
        for text, candidates in zip(self._labels, self._candidates, strict=True):
            yield ImageResult(SampleLabels.model_validate_json(text), candidates)

    def answered_by(self, answer: Callable[[SampleLabels], ImageResult]) -> Iterable[ImageResult]:
        """Another answer to each of the samples, made anew whenever one goes over them."""
        return _Others(self, answer)


class _Others(Iterable[ImageResult]):
    def __init__(self, results: Results, answer: Callable[[SampleLabels], ImageResult]) -> None:
        self._results, self._answer = results, answer

    def __iter__(self) -> Iterator[ImageResult]:
        return (self._answer(one.gold) for one in self._results)
