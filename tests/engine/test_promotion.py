"""The gate decides right in worlds whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics import resampling
from engine.metrics.resampling import image_draws
from engine.promotion import decide
from schemas.recipes import GateRecipe, PromotionRule
from schemas.reports import ClassMatches, DetectionMatches, EvaluationReport, MetricValue

IMPROVE = PromotionRule(metric="phrase_recall@1", must="improve")
HOLD_AP = PromotionRule(metric="AP50", must="not_worsen", margin=0.02)


def recall_report(model: str, hits: np.ndarray, dataset: str = "phrases", fingerprint: str = "f") -> EvaluationReport:
    """A model's recall: ``hits[i]`` of three phrases of image i."""
    name = "phrase_recall@1"
    return EvaluationReport(
        model_digest=model,
        dataset=dataset,
        dataset_fingerprint=fingerprint,
        metrics=[MetricValue(name=name, value=float(hits.mean() / 3), count=3 * len(hits))],
        per_image={name: {str(i): float(h) / 3 for i, h in enumerate(hits)}},
        per_image_count={name: {str(i): 3 for i in range(len(hits))}},
    )


def detection_report(model: str, right: np.ndarray) -> EvaluationReport:
    """A model's AP50: one human box and one detection an image, right or wrong, all equally confident."""
    images = list(range(len(right)))
    matches = ClassMatches(
        name="dog", gold=images, image=images, right=right.astype(int).tolist(), ignored=[0] * len(right)
    )
    return EvaluationReport(
        model_digest=model,
        dataset="boxes",
        dataset_fingerprint="f",
        metrics=[MetricValue(name="AP50", value=None, count=len(right))],
        detections=DetectionMatches(images=[str(i) for i in images], classes=[matches]),
    )


def world(rate: float, seed: int, images: int = 150) -> np.ndarray:
    """Phrases found in each image by a model that finds each with probability ``rate``."""
    return np.random.default_rng(seed).binomial(3, rate, images)


def gate(*rules: PromotionRule, resamples: int = 400) -> GateRecipe:
    return GateRecipe(rules=rules, resamples=resamples)


def test_a_truly_better_candidate_is_promoted() -> None:
    decision = decide([recall_report("new", world(0.7, 1))], [recall_report("old", world(0.5, 2))], gate(IMPROVE))
    assert decision.promote
    assert (decision.candidate_digest, decision.incumbent_digest) == ("new", "old")
    assert "must improve" in decision.reason
    assert decision.comparisons[0].least is None
    low, high = decision.comparisons[0].interval or (0, 0)
    assert 0 < low < decision.comparisons[0].difference < high  # type: ignore[operator]


def test_a_worse_candidate_is_refused_in_plain_words() -> None:
    decision = decide([recall_report("new", world(0.4, 1))], [recall_report("old", world(0.6, 2))], gate(IMPROVE))
    assert not decision.promote
    assert decision.reason.startswith("Not promoted: the one rule did not pass. Phrase_recall@1 on phrases fell from")


def test_the_same_model_does_not_improve_and_does_not_worsen() -> None:
    same = recall_report("same", world(0.6, 1))
    assert not decide([same], [same], gate(IMPROVE)).promote
    assert decide([same], [same], gate(PromotionRule(metric="phrase_recall@1", must="not_worsen"))).promote


def test_a_small_rise_on_few_images_may_be_chance() -> None:
    old = world(0.5, 3, images=12)
    new = old.copy()
    new[0] = min(3, new[0] + 1)
    decision = decide([recall_report("new", new)], [recall_report("old", old)], gate(IMPROVE))
    assert not decision.promote
    assert "may be chance" in decision.reason


def test_pairing_finds_a_gain_smaller_than_the_spread_between_images() -> None:
    rng = np.random.default_rng(5)
    old = rng.integers(0, 3, 200)  # images differ a lot, both models feel it alike
    new = old + (rng.random(200) < 0.06)
    assert decide([recall_report("new", new)], [recall_report("old", old)], gate(IMPROVE)).promote


def test_of_equal_candidates_about_one_in_forty_is_promoted() -> None:
    promoted = sum(
        decide(
            [recall_report("new", world(0.5, 1000 + trial))],
            [recall_report("old", world(0.5, 5000 + trial))],
            gate(IMPROVE),
        ).promote
        for trial in range(200)
    )
    assert promoted <= 12, "2.5 % of 200 are 5; 12 is three standard deviations above"


def test_better_recall_does_not_buy_a_loss_of_precision() -> None:
    better, same = recall_report("new", world(0.8, 1)), recall_report("old", world(0.5, 2))
    fell, was = detection_report("new", np.arange(200) % 10 < 5), detection_report("old", np.arange(200) % 10 < 9)
    decision = decide([better, fell], [same, was], gate(IMPROVE, HOLD_AP))
    assert not decision.promote
    assert [comparison.passed for comparison in decision.comparisons] == [True, False]
    assert "AP50 on boxes fell" in decision.reason


def test_a_loss_within_the_margin_passes_where_the_images_can_show_it() -> None:
    was = np.arange(400) % 10 < 9
    now = was.copy()
    now[388] = False  # among the least confident, so precision before it stays
    assert decide([detection_report("new", now)], [detection_report("old", was)], gate(HOLD_AP)).promote


@pytest.mark.parametrize(("margin", "passes"), [(0.334, True), (0.333, False)])
def test_a_loss_of_a_third_is_within_a_margin_that_is_as_large(margin: float, passes: bool) -> None:
    new, old = recall_report("new", np.full(30, 2)), recall_report("old", np.full(30, 3))
    rule = PromotionRule(metric="phrase_recall@1", must="not_worsen", margin=margin)
    assert decide([new], [old], gate(rule)).promote is passes


def test_only_images_with_a_value_for_both_models_are_compared() -> None:
    new, old = recall_report("new", world(0.6, 1, images=30)), recall_report("old", world(0.5, 2, images=20))
    for one, other in ((new, old), (old, new)):
        (found,) = decide([one], [other], gate(IMPROVE)).comparisons
        assert found.images == 20


def test_images_of_which_no_count_is_known_count_alike() -> None:
    reports = [recall_report(name, world(rate, 1)) for name, rate in (("new", 0.6), ("old", 0.5))]
    (told,) = decide(reports[:1], reports[1:], gate(IMPROVE)).comparisons
    bare = [report.model_copy(update={"per_image_count": {}}) for report in reports]
    (untold,) = decide(bare[:1], bare[1:], gate(IMPROVE)).comparisons
    assert untold.interval == pytest.approx(told.interval)  # each has three phrases


def test_a_floor_is_about_the_candidate_alone() -> None:
    floor = PromotionRule(metric="phrase_recall@1", must="exceed", margin=0.6)
    old = recall_report("old", world(0.9, 2))
    above = decide([recall_report("new", world(0.75, 1))], [old], gate(floor))
    assert above.promote
    assert above.comparisons[0].least == 0.6
    assert above.comparisons[0].reason.endswith(": it must be at least 60.0, and it is")
    below = decide([recall_report("new", np.array([3, 3, 0, 0, 0] * 30))], [old], gate(floor)).reason
    assert below.endswith("on phrases is 40.0: it must be at least 60.0, which it misses by 20.")
    assert not {"fell", "rose", "interval"} & set(below.split())
    at_the_floor = np.array([3, 3, 3, 0, 0] * 30)
    assert decide([recall_report("new", at_the_floor)], [old], gate(floor)).promote


def test_a_rule_that_cannot_be_judged_has_not_passed() -> None:
    report = recall_report("new", world(0.7, 1))
    decision = decide([report], [report], gate(PromotionRule(metric="AP", must="not_worsen", margin=0.5)))
    assert not decision.promote
    assert "could not be judged" in decision.reason
    assert "for any dataset evaluated for both models" in decision.reason
    other = gate(PromotionRule(metric="phrase_recall@1", dataset="lvis", must="not_worsen", margin=0.5))
    assert "'lvis'" in decide([report], [report], other).reason


def test_of_what_was_evaluated_for_one_model_alone_nothing_follows() -> None:
    new, old = recall_report("new", world(0.8, 1)), recall_report("old", world(0.5, 2))
    another = recall_report("new", world(0.1, 1), dataset="another")
    assert decide([another, new], [old], gate(IMPROVE)).promote, "a dataset that the incumbent was not evaluated on"
    more = new.model_copy(update={"metrics": [*new.metrics, MetricValue(name="AP", value=0.5, count=1)]})
    assert decide([more], [old], gate(IMPROVE)).promote, "a metric that no rule is on"
    few = old.model_copy(update={"per_image": {"phrase_recall@1": {str(i): 0.0 for i in range(5)}}})
    assert "something to find in 5 images" in decide([new], [few], gate(IMPROVE)).reason
    apart = old.model_copy(update={"per_image": {"phrase_recall@1": {"elsewhere": 0.0}}})
    assert "no values that can be resampled" in decide([new], [apart], gate(IMPROVE)).reason
    nothing = {"per_image_count": {"phrase_recall@1": {str(i): 0 for i in range(150)}}}
    decision = decide([new.model_copy(update=nothing)], [old.model_copy(update=nothing)], gate(IMPROVE))
    assert (decision.promote, decision.comparisons[0].candidate) == (False, None)
    assert "has nothing to find" in decision.reason


def test_a_gate_without_a_rule_would_let_everything_pass_and_is_none() -> None:
    with pytest.raises(ValueError, match=r"rules\n.*at least 1 item"):
        GateRecipe(rules=())


def test_a_rule_looks_at_each_dataset_or_at_the_one_it_names() -> None:
    new = [recall_report("new", world(0.8, 1), "a"), recall_report("new", world(0.3, 2), "b")]
    old = [recall_report("old", world(0.5, 3), "a"), recall_report("old", world(0.5, 4), "b")]
    assert not decide(new, old, gate(IMPROVE)).promote
    assert decide(new, old, gate(IMPROVE.model_copy(update={"dataset": "a"}))).promote


def test_equal_input_gives_an_equal_decision_and_another_seed_other_draws() -> None:
    new, old = [recall_report("new", world(0.6, 1))], [recall_report("old", world(0.5, 2))]
    first = decide(new, old, gate(IMPROVE))
    assert first == decide(new, old, gate(IMPROVE))
    another = decide(new, old, gate(IMPROVE).model_copy(update={"seed": 1}))
    assert another.comparisons[0].interval != first.comparisons[0].interval


@pytest.mark.parametrize(("of_gate", "of_rule", "deviations"), [(0.95, None, 1.960), (0.95, 0.8, 1.282)])
def test_the_interval_is_as_wide_as_its_confidence_says(
    of_gate: float, of_rule: float | None, deviations: float
) -> None:
    """Two-sided, of the paired differences: so many images are near enough to the normal distribution."""
    new, old = world(0.6, 1, images=400), world(0.5, 2, images=400)
    rule = IMPROVE.model_copy(update={"confidence": of_rule})
    asked = gate(rule, resamples=4000).model_copy(update={"confidence": of_gate})
    (found,) = decide([recall_report("new", new)], [recall_report("old", old)], asked).comparisons
    standard_error = float(np.std((new - old) / 3) / np.sqrt(400))
    assert found.difference is not None
    wanted = [found.difference + side * deviations * standard_error for side in (-1, 1)]
    assert found.interval == pytest.approx(wanted, abs=0.15 * standard_error)


def test_reports_on_different_data_are_refused() -> None:
    new = recall_report("new", world(0.6, 1), fingerprint="aaaa")
    old = recall_report("old", world(0.6, 1), fingerprint="aaab")
    with pytest.raises(ValueError, match="evaluate both on the same data"):
        decide([new], [old], gate(IMPROVE))
    for candidate, incumbent in (([new], []), ([], [old])):
        with pytest.raises(ValueError, match="run `evaluate` for both"):
            decide(candidate, incumbent, gate(IMPROVE))


def test_draws_come_in_parts_of_bounded_memory_and_are_those_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = [recall_report("new", world(0.6, 1))], [recall_report("old", world(0.5, 2))]
    fell, was = detection_report("new", np.arange(50) % 10 < 5), detection_report("old", np.arange(50) % 10 < 9)
    at_once = decide([*new, fell], [*old, was], gate(IMPROVE, HOLD_AP))
    monkeypatch.setattr(resampling, "MAX_CELLS", 130 * 150)
    parts = list(image_draws(150, 400, np.random.default_rng(0)))
    assert [len(part) for part in parts] == [128, 128, 128, 16]
    wanted = np.random.default_rng(0).multinomial(150, np.full(150, 1 / 150), size=400)
    np.testing.assert_array_equal(np.concatenate(parts), wanted)
    assert decide([*new, fell], [*old, was], gate(IMPROVE, HOLD_AP)) == at_once
    assert [len(part) for part in image_draws(10**6, 3, np.random.default_rng(0))] == [1, 1, 1]


@pytest.mark.parametrize(
    ("images", "confidence", "promoted"),
    [(1, 0.95, False), (5, 0.95, False), (6, 0.95, True), (6, 0.99, False), (8, 0.99, True)],
)
def test_of_so_few_images_that_all_may_be_better_by_chance_nothing_follows(
    images: int, confidence: float, promoted: bool
) -> None:
    new, old = recall_report("new", np.full(images, 3)), recall_report("old", np.full(images, 1))
    for must in ("improve", "not_worsen"):
        rule = PromotionRule(metric="phrase_recall@1", must=must, confidence=confidence)  # type: ignore[arg-type]
        assert decide([new], [old], gate(rule)).promote is promoted
    floor = PromotionRule(metric="phrase_recall@1", must="exceed", margin=0.5)
    assert decide([new], [old], gate(floor)).promote, "a floor is no comparison"


def test_images_without_the_class_are_no_witnesses_of_it() -> None:
    """Two dogs in a hundred images: wherever one is drawn, the candidate is better."""

    def report(model: str, right: int) -> EvaluationReport:
        dogs = ClassMatches(name="dog", gold=[0, 1], image=[0, 1], right=[right, right], ignored=[0, 0])
        return EvaluationReport(
            model_digest=model,
            dataset="boxes",
            dataset_fingerprint="f",
            metrics=[MetricValue(name="AP50/dog", value=None, count=2)],
            detections=DetectionMatches(images=[str(i) for i in range(100)], classes=[dogs]),
        )

    rule = PromotionRule(metric="AP50/dog", must="improve")
    decision = decide([report("new", 1)], [report("old", 0)], gate(rule))
    assert not decision.promote
    assert "something to find in 2 images; fewer than 6 can show nothing at a confidence of 0.95" in decision.reason
