"""The gate: whether a student becomes the next teacher. Pure: reports and rules in, a decision out.

Each rule is judged by a paired bootstrap over images (Efron and Tibshirani, 1993, chapter 13): the images of a dataset
are drawn with replacement, candidate and incumbent are scored on the same draws, and the interval of the difference is
read off its quantiles. Pairing takes out what makes an image hard for both. Average precision is recomputed on every
draw from the stored matches, since it is no mean over images. All rules must pass; what cannot be judged has not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.metrics.resampling import image_draws, image_keys, images_with_things, resampled
from schemas.recipes import GateRecipe, PromotionRule
from schemas.reports import EvaluationReport, MetricComparison, PromotionDecision


def decide(
    candidate: Sequence[EvaluationReport], incumbent: Sequence[EvaluationReport], gate: GateRecipe
) -> PromotionDecision:
    """Judge the candidate's reports against the incumbent's, one of each for every dataset.

    Same reports, gate and seed give the same decision. ValueError where there is no report, or where a dataset was
    evaluated on different data for the two.
    """
    if not candidate or not incumbent:
        raise ValueError("the gate compares evaluations; one of the two models has none: run `evaluate` for both")
    pairs = list(_pairs(candidate, incumbent))
    comparisons = [comparison for rule in gate.rules for comparison in _apply(rule, pairs, gate)]
    failed = [comparison for comparison in comparisons if not comparison.passed]
    return PromotionDecision(
        promote=not failed,
        reason=_conclusion(comparisons, failed),
        candidate_digest=candidate[0].model_digest,
        incumbent_digest=incumbent[0].model_digest,
        comparisons=comparisons,
        confidence=gate.confidence,
        resamples=gate.resamples,
        seed=gate.seed,
    )


_Pair = tuple[EvaluationReport, EvaluationReport]


def _pairs(candidate: Sequence[EvaluationReport], incumbent: Sequence[EvaluationReport]) -> Iterator[_Pair]:
    former = {report.dataset: report for report in incumbent}
    for report in candidate:
        other = former.get(report.dataset)
        if other is None:
            continue
        if other.dataset_fingerprint != report.dataset_fingerprint:
            raise ValueError(
                f"dataset {report.dataset!r} is not the same for both models ({report.dataset_fingerprint[:12]} and "
                f"{other.dataset_fingerprint[:12]}); evaluate both on the same data"
            )
        yield report, other


def _apply(rule: PromotionRule, pairs: Sequence[_Pair], gate: GateRecipe) -> list[MetricComparison]:
    """A rule on every dataset it speaks of; one failed comparison where there is none."""
    judged = [
        _compare(rule, candidate, incumbent, gate)
        for candidate, incumbent in pairs
        if rule.dataset in (None, candidate.dataset)
        and any(metric.name == rule.metric for metric in (*candidate.metrics, *incumbent.metrics))
    ]
    where = f"dataset {rule.dataset!r}" if rule.dataset else "any dataset evaluated for both models"
    return judged or [_not_judged(rule, f"there is no {rule.metric} for {where}, so the rule could not be judged")]


def _not_judged(rule: PromotionRule, reason: str, dataset: str | None = None) -> MetricComparison:
    return MetricComparison(
        metric=rule.metric,
        dataset=dataset or rule.dataset or "",
        rule=rule_text(rule),
        incumbent=None,
        candidate=None,
        difference=None,
        interval=None,
        passed=False,
        reason=reason,
    )


def _compare(
    rule: PromotionRule, candidate: EvaluationReport, incumbent: EvaluationReport, gate: GateRecipe
) -> MetricComparison:
    keys = sorted(image_keys(candidate, rule.metric) & image_keys(incumbent, rule.metric))
    if not keys:
        reason = f"{rule.metric} of {candidate.dataset} has no values that can be resampled over images for both models"
        return _not_judged(rule, reason, candidate.dataset)
    ones = np.ones((1, len(keys)))
    new, old = (float(resampled(report, rule.metric, keys, ones)[0]) for report in (candidate, incumbent))
    if np.isnan(new) or np.isnan(old):
        return _not_judged(rule, f"{rule.metric} of {candidate.dataset} has nothing to find", candidate.dataset)
    tail = (1 - (rule.confidence or gate.confidence)) / 2
    telling = len(images_with_things(candidate, rule.metric) & images_with_things(incumbent, rule.metric))
    if rule.must != "exceed" and telling < (least := _fewest_images(tail)):
        few = f"{rule.metric} of {candidate.dataset} has something to find in {telling} images; fewer than {least} can"
        return _not_judged(rule, f"{few} show nothing at a confidence of {1 - 2 * tail:g}", candidate.dataset)
    differences = _differences(rule.metric, candidate, incumbent, keys, gate)
    low, high = (float(value) for value in np.nanquantile(differences, (tail, 1 - tail)))
    passed = _passes(rule, new, low)
    return MetricComparison(
        metric=rule.metric,
        dataset=candidate.dataset,
        rule=rule_text(rule),
        incumbent=old,
        candidate=new,
        difference=new - old,
        interval=(low, high),
        images=len(keys),
        least=rule.margin if rule.must == "exceed" else None,
        passed=passed,
        reason=_reason(rule, candidate.dataset, new, old, (low, high), passed),
    )


def _fewest_images(tail: float) -> int:
    """The fewest images that can decide: on fewer, one of two equal models is better on all of them with a chance above
    ``tail``. On one image the interval is a point, which would be certain of any difference."""
    return math.ceil(math.log2(1 / tail))


def _differences(
    metric: str, candidate: EvaluationReport, incumbent: EvaluationReport, keys: list[str], gate: GateRecipe
) -> NDArray[np.float64]:
    """What the candidate has more on each resample, [R]; the draws are the same for every metric of these images."""
    parts = image_draws(len(keys), gate.resamples, np.random.default_rng(gate.seed))
    return np.concatenate(
        [resampled(candidate, metric, keys, draws) - resampled(incumbent, metric, keys, draws) for draws in parts]
    )


def _passes(rule: PromotionRule, new: float, low: float) -> bool:
    if rule.must == "improve":
        return low > 0
    if rule.must == "not_worsen":
        return low >= -rule.margin
    return new >= rule.margin


def rule_text(rule: PromotionRule) -> str:
    """The rule in words: ``must not worsen by more than 1.0 points``."""
    if rule.must == "improve":
        return "must improve"
    if rule.must == "not_worsen":
        return f"must not worsen by more than {100 * rule.margin:.1f} points" if rule.margin else "must not worsen"
    return f"must be at least {100 * rule.margin:.1f}"


def _reason(
    rule: PromotionRule, dataset: str, new: float, old: float, interval: tuple[float, float], passed: bool
) -> str:
    before, after = f"{100 * old:.1f}", f"{100 * new:.1f}"
    if rule.must == "exceed":
        reached = "and it is" if passed else f"which it misses by {100 * (rule.margin - new):.3g}"
        return f"{rule.metric} on {dataset} is {after}: it {rule_text(rule)}, {reached}"
    moved = f"stayed at {after}" if before == after else f"{'rose' if new > old else 'fell'} from {before} to {after}"
    low, high = (100 * value for value in interval)
    figures = (
        f"{rule.metric} on {dataset} {moved} (difference {100 * (new - old):+.1f}, interval {low:+.1f} to {high:+.1f})"
    )
    if passed:
        return f"{figures}: it {rule_text(rule)}, and the figures bear that out"
    if rule.must == "improve" and new > old:
        return f"{figures}: it {rule_text(rule)}, but so small a rise may be chance"
    if rule.must == "not_worsen" and old - new <= rule.margin:
        return f"{figures}: it {rule_text(rule)}, but there are too few images to rule that out"
    return f"{figures}: it {rule_text(rule)}, and " + ("it fell by more" if rule.must == "not_worsen" else "it did not")


def _conclusion(comparisons: Sequence[MetricComparison], failed: Sequence[MetricComparison]) -> str:
    said = "; ".join(comparison.reason for comparison in failed or comparisons)
    said = f"{said[:1].upper()}{said[1:]}."
    if not failed:
        return (
            f"Promoted: {'the one rule' if len(comparisons) == 1 else f'all {len(comparisons)} rules'} passed. {said}"
        )
    which = "the one rule" if len(comparisons) == 1 else f"{len(failed)} of {len(comparisons)} rules"
    return f"Not promoted: {which} did not pass. {said}"
