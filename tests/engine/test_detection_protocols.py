"""What every metric of detection does where there is nothing to find, nothing found, or a box of no class."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from detection_cases import BOX, CLASSES, by_name, detection_sample

from engine.metrics import Figures, ImageResult
from engine.metrics.detection import average_precision
from engine.metrics.federated import fixed_average_precision
from engine.metrics.pointing import pointing_at_classes
from engine.metrics.voc import voc_average_precision
from schemas.records import Candidate
from schemas.shards import SamplePhrase

METRICS: list[Callable[[list[ImageResult]], Figures]] = [
    lambda results: average_precision(results, CLASSES),
    lambda results: fixed_average_precision(results, CLASSES),
    lambda results: voc_average_precision(results, CLASSES, year=2007),
    lambda results: voc_average_precision(results, CLASSES, year=2012),
    lambda results: pointing_at_classes(results, CLASSES),
]


@pytest.mark.parametrize("metric", METRICS)
def test_without_a_human_box_there_is_no_figure(metric: Callable[[list[ImageResult]], Figures]) -> None:
    found_something = ImageResult(detection_sample("a", []), (Candidate(1, BOX, 0.5),))
    for results in ([], [found_something]):
        assert {one.value for one in metric(results).values} == {None}


@pytest.mark.parametrize("metric", METRICS)
def test_without_a_detection_every_figure_is_zero_and_a_class_without_boxes_has_none(
    metric: Callable[[list[ImageResult]], Figures],
) -> None:
    figures = metric([ImageResult(detection_sample("a", [("dog", BOX)]), ())])
    assert figures.values[0].value == 0.0
    values = by_name(figures)
    assert set(values.values()) <= {0.0, None}
    assert {name.partition("/")[2] for name in values} == {"", "dog"}


@pytest.mark.parametrize("metric", METRICS)
def test_a_box_of_no_class_is_named(metric: Callable[[list[ImageResult]], Figures]) -> None:
    eel = SamplePhrase(text="eel", start=0, end=3, head_lemma="eel")
    stranger = detection_sample("a", [("dog", BOX)]).model_copy(update={"caption": "eel", "phrases": [eel]})
    with pytest.raises(ValueError, match="'a' has boxes of 'eel'"):
        metric([ImageResult(stranger, ())])
