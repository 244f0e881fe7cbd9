"""Which protocol gives a metric is known by the metric's name, so that a rule on none is told before any work."""

from __future__ import annotations

from typing import get_args

import pytest
from detection_cases import BOX, CLASSES, FREQUENCIES, detection_sample
from samples import grounding_sample

from engine.metrics import ImageResult
from engine.metrics.protocols import PROTOCOLS, ScoringContext, Task, score_by
from schemas.evaluate_recipes import DEFAULT_PROTOCOLS, protocol_of
from schemas.recipes import EvaluationProtocol, GenerationRecipe, protocols_with
from schemas.records import Candidate

RESULTS: dict[Task, list[ImageResult]] = {
    "detection": [ImageResult(detection_sample("a", [("dog", BOX)]), (Candidate(1, BOX, 0.5),))],
    "grounding": [ImageResult(grounding_sample("a", {"a dog": [BOX]}), (Candidate(0, BOX, 0.5),))],
}
GENERATION = {
    "name": "g",
    "label": {"source": {"kind": "scenes", "count": 2}},
    "gold": [{"name": "h", "format": "scenes", "scenes": {"count": 2}}],
    "evaluation": [{"name": "e", "format": "voc", "path": "data/voc"}],
}


@pytest.mark.parametrize(("task", "protocol"), [(task, name) for task, table in PROTOCOLS.items() for name in table])
def test_every_figure_tells_its_protocol_by_its_name(task: Task, protocol: str) -> None:
    context = ScoringContext(CLASSES, frequencies=FREQUENCIES, groups={"dog": "tail"})
    names = [one.name for one in score_by([protocol], task, RESULTS[task], context).values]
    assert {protocol_of(name) for name in names} == {protocol}


def test_a_name_that_nothing_gives_has_no_protocol() -> None:
    assert protocol_of("f1") is None
    assert {name for table in PROTOCOLS.values() for name in table} == set(get_args(EvaluationProtocol))


def test_an_evaluation_for_one_metric_has_its_protocol_beside_the_default_ones() -> None:
    assert protocols_with("voc07_AP/dog") == (*DEFAULT_PROTOCOLS, "voc07")
    assert protocols_with("AP50") == protocols_with("f1") == DEFAULT_PROTOCOLS


@pytest.mark.parametrize("metric", ["voc07_AP", "voc12_AP/dog", "lvis_APr", "pointing"])
def test_a_rule_on_what_is_not_evaluated_is_refused_before_any_work(metric: str) -> None:
    gate = {"rules": [{"metric": metric, "must": "improve"}]}
    with pytest.raises(ValueError, match=f"rule on '{metric}', which protocol '{protocol_of(metric)}' gives"):
        GenerationRecipe.model_validate({**GENERATION, "gate": gate})
    evaluate = {"protocols": ["coco", protocol_of(metric)]}
    assert GenerationRecipe.model_validate({**GENERATION, "gate": gate, "evaluate": evaluate}).gate.rules
