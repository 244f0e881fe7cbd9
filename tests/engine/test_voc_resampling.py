"""Pascal VOC AP in the gate: on every draw it is what the metric gives for the pictures that were drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from detection_cases import BOX, CASES, CLASSES, FAR, by_name, detection_sample, random_case

from engine.metrics import ImageResult, image_key
from engine.metrics.protocols import ScoringContext, score_by
from engine.metrics.resampling import image_keys, resampled
from engine.metrics.voc import Year, voc_average_precision
from engine.promotion import decide
from schemas.recipes import GateRecipe, PromotionRule
from schemas.records import BoxXYXY, Candidate
from schemas.reports import EvaluationReport

BOTH = ("voc07", "voc12")
YEARS: dict[str, Year] = {"voc07": 2007, "voc12": 2012}


def report_of(model: str, results: Sequence[ImageResult]) -> EvaluationReport:
    figures = score_by(("coco", *BOTH), "detection", results, ScoringContext(CLASSES))
    return EvaluationReport(
        model_digest=model,
        dataset="boxes",
        dataset_fingerprint="f",
        metrics=figures.values,
        detections=figures.detections,
        voc=figures.voc,
    )


def without_ties(results: Sequence[ImageResult], rng: np.random.Generator) -> list[ImageResult]:
    """The answers with scores of their own: which of two equal ones of a picture that is drawn twice comes first is
    nobody's to say."""
    scored = []
    for number, result in enumerate(results):
        drawn = rng.permutation(10_000)[: len(result.candidates)] * 10 + number
        own = (Candidate(c.phrase, c.box_xyxy, float(s) / 1e6) for c, s in zip(result.candidates, drawn, strict=True))
        scored.append(ImageResult(result.gold, tuple(own)))
    return scored


@pytest.mark.parametrize("protocol", BOTH)
def test_a_resample_is_the_metric_of_the_pictures_that_were_drawn(protocol: str) -> None:
    compared = 0
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        results = without_ties(random_case(seed, difficult=True).results, rng)
        report = report_of("m", results)
        keys = [image_key(result.gold) for result in results]
        draws = np.vstack([np.ones(len(keys)), rng.integers(0, 4, (3, len(keys)))])
        for metric in [one.name for one in report.metrics if one.name.startswith(f"{protocol}_AP")]:
            if not image_keys(report, metric):
                assert report.value(metric) is None
                continue
            for draw, value in zip(draws, resampled(report, metric, keys, draws), strict=True):
                drawn = [result for result, times in zip(results, draw, strict=True) for _ in range(int(times))]
                expected = by_name(voc_average_precision(drawn, CLASSES, year=YEARS[protocol])).get(metric)
                assert (None if np.isnan(value) else value) == (None if expected is None else pytest.approx(expected))
                compared += 1
    assert compared > 4 * CASES


def answered(right: Sequence[bool]) -> list[ImageResult]:
    """One dog a picture, and one detection, which finds it or not; the surer, the earlier."""
    boxes: list[BoxXYXY] = [BOX if one else FAR for one in right]
    return [
        ImageResult(detection_sample(str(n), [("dog", BOX)]), (Candidate(1, box, 0.9 - n / 1000),))
        for n, box in enumerate(boxes)
    ]


@pytest.mark.parametrize("metric", ["voc07_AP", "voc12_AP", "voc12_AP/dog"])
def test_a_rule_of_the_gate_names_voc_ap(metric: str) -> None:
    better, worse = (report_of(name, answered([n % of != 0 for n in range(120)])) for name, of in (("b", 6), ("w", 2)))
    gate = GateRecipe(rules=(PromotionRule(metric=metric, must="improve"),), resamples=200)
    promoted = decide([better], [worse], gate)
    assert promoted.promote
    (found,) = promoted.comparisons
    assert (found.candidate, found.incumbent) == (better.value(metric), worse.value(metric))
    assert found.images == 120
    assert not decide([worse], [better], gate).promote
    hold = GateRecipe(rules=(PromotionRule(metric=metric, must="not_worsen"),), resamples=200)
    assert decide([better], [better], hold).promote


@pytest.mark.parametrize("metric", ["voc07_AP50", "voc12_AP:tail", "voc07_APr", "voc10_AP", "voc12_AP/ufo"])
def test_what_is_no_figure_of_voc_cannot_be_resampled(metric: str) -> None:
    assert image_keys(report_of("m", answered([True])), metric) == set()
