"""The gate decides right in worlds in which it is known how good each model is.

A model is the chance with which it finds things: phrases with frequent and with rare heads, phrases of another domain,
persons, other classes, a rare class. Both models meet the same images, some of which are hard for both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

from engine.promotion import decide
from schemas.recipes import GateRecipe, PromotionRule
from schemas.reports import ClassMatches, DetectionMatches, EvaluationReport, MetricValue, PromotionDecision

IMAGES = 400
OWN = 0.2  # of the things, on which two models share no luck
RULES = (
    PromotionRule(metric="phrase_recall@1:tail", dataset="val", must="improve"),
    PromotionRule(metric="phrase_recall@1", dataset="elsewhere", must="not_worsen", margin=0.05),
    PromotionRule(metric="AP50/person", must="not_worsen", margin=0.05),
    PromotionRule(metric="AP50:other", must="not_worsen", margin=0.1),
    PromotionRule(metric="phrase_recall@1", dataset="val", must="exceed", margin=0.4),
)


@dataclass(frozen=True)
class Model:
    head: float = 0.65
    tail: float = 0.45
    elsewhere: float = 0.55
    person: float = 0.8
    chair: float = 0.6
    vial: float = 0.4

    def moved(self, **by: float) -> Model:
        return replace(self, **{name: getattr(self, name) + points for name, points in by.items()})


OLD = Model()
ALL = ("head", "tail", "elsewhere", "person", "chair", "vial")


class Things:
    """What is to be found in the images of a world. Each is as hard for one model as for another; how a model's chance
    falls is the same for every model on most things, and its own on the rest."""

    def __init__(self, world: int, model: int, images: int) -> None:
        self.shared, self.own = np.random.default_rng([world, 0]), np.random.default_rng([world, model])
        self.images = images

    def found(self, ability: float, per_image: int = 1) -> np.ndarray:
        """Which things a model of this ability finds, [images, things in each]."""
        shape = (self.images, per_image)
        luck = np.where(self.own.random(shape) < OWN, self.own.random(shape), self.shared.random(shape))
        return luck < ability


def reports(ability: Model, model: int, world: int = 1, images: int = IMAGES) -> list[EvaluationReport]:
    """The evaluations of a model: another number is another model, however equal its abilities."""
    things, name = Things(world, model, images), f"model {model}"
    val = {":head": things.found(ability.head, 2).mean(axis=1), ":tail": things.found(ability.tail).mean(axis=1)}
    val[""] = (2 * val[":head"] + val[":tail"]) / 3
    elsewhere = {"": things.found(ability.elsewhere, 3).mean(axis=1)}
    counts = {"": 3, ":head": 2, ":tail": 1}
    return [
        _recall_report(name, "val", val, counts),
        _recall_report(name, "elsewhere", elsewhere, counts),
        _detection_report(name, ability, things),
    ]


def _recall_report(model: str, dataset: str, shares: dict[str, np.ndarray], counts: dict[str, int]) -> EvaluationReport:
    names = {group: f"phrase_recall@1{group}" for group in shares}
    return EvaluationReport(
        model_digest=model,
        dataset=dataset,
        dataset_fingerprint=dataset,
        metrics=[
            MetricValue(name=names[group], value=float(one.mean()), count=counts[group] * len(one))
            for group, one in shares.items()
        ],
        per_image={names[group]: {str(i): float(x) for i, x in enumerate(one)} for group, one in shares.items()},
        per_image_count={
            names[group]: {str(i): counts[group] for i in range(len(one))} for group, one in shares.items()
        },
    )


def _detection_report(model: str, ability: Model, things: Things) -> EvaluationReport:
    images = np.arange(things.images)
    of_class = {"person": images, "chair": images[::2], "vial": images[::8]}
    classes = []
    for name, gold in of_class.items():
        right = things.found(getattr(ability, name))[gold, 0]
        order = np.argsort(-(right + things.shared.normal(0, 0.8, things.images)[gold]))  # right ones score higher
        groups = ["head"] if name == "person" else ["other", "tail" if name == "vial" else "head"]
        found = {"image": gold[order].tolist(), "right": right[order].astype(int).tolist()}
        classes.append(ClassMatches(name=name, groups=groups, gold=gold.tolist(), ignored=[0] * len(gold), **found))
    names = ("AP50", "AP50/person", "AP50:other")
    return EvaluationReport(
        model_digest=model,
        dataset="boxes",
        dataset_fingerprint="boxes",
        metrics=[MetricValue(name=one, value=None, count=1) for one in names],
        detections=DetectionMatches(images=[str(i) for i in images], classes=classes),
    )


def judged(ability: Model, world: int = 1, resamples: int = 500, images: int = IMAGES) -> PromotionDecision:
    gate = GateRecipe(rules=RULES, resamples=resamples)
    return decide(reports(ability, 1, world, images), reports(OLD, 2, world, images), gate)


def failed(decision: PromotionDecision) -> list[str]:
    return [f"{one.metric} on {one.dataset}" for one in decision.comparisons if not one.passed]


def test_a_candidate_that_is_better_at_everything_is_promoted() -> None:
    assert judged(OLD.moved(**dict.fromkeys(ALL, 0.15))).promote


def test_a_candidate_that_is_worse_at_everything_fails_every_comparison() -> None:
    decision = judged(OLD.moved(**dict.fromkeys(ALL, -0.25)))
    assert not decision.promote
    assert len(failed(decision)) == len(RULES)
    improve, *held, _ = decision.comparisons
    assert improve.reason.endswith(": it must improve, and it did not")
    assert all(one.reason.endswith(", and it fell by more") for one in held)


def test_a_candidate_that_is_better_on_coco_only_is_refused_for_what_is_rare() -> None:
    decision = judged(OLD.moved(person=0.15, chair=0.2, vial=0.2, head=0.1))
    assert failed(decision) == ["phrase_recall@1:tail on val"]
    assert "it must improve" in decision.reason


def test_a_candidate_that_is_better_on_what_is_rare_only_is_promoted_though_coco_fell_a_little() -> None:
    decision = judged(OLD.moved(tail=0.25, person=0.01, chair=0.01))
    assert decision.promote, decision.reason


def test_a_gain_on_what_is_rare_does_not_buy_a_loss_elsewhere() -> None:
    assert failed(judged(OLD.moved(tail=0.3, elsewhere=-0.2))) == ["phrase_recall@1 on elsewhere"]
    assert failed(judged(OLD.moved(tail=0.3, person=-0.3))) == ["AP50/person on boxes"]
    assert failed(judged(OLD.moved(tail=0.3, chair=-0.3, vial=-0.3))) == ["AP50:other on boxes"]


def test_an_improvement_on_a_floor_that_is_not_reached_is_refused() -> None:
    poor = OLD.moved(head=-0.5, tail=-0.4)
    better = poor.moved(tail=0.3)
    gate = GateRecipe(rules=RULES, resamples=300)
    decision = decide(reports(better, 1), reports(poor, 2), gate)
    assert failed(decision) == ["phrase_recall@1 on val"]
    assert "it must be at least 40.0, which it misses by" in decision.reason


def test_every_number_that_decides_is_on_record() -> None:
    decision = judged(OLD.moved(tail=0.25))
    assert (decision.confidence, decision.resamples, decision.seed) == (0.95, 500, 0)
    for one in decision.comparisons:
        assert None not in (one.incumbent, one.candidate, one.difference, one.interval)
        assert one.images == IMAGES
        if one.least is None and one.interval is not None:
            low, high = one.interval
            assert f"interval {100 * low:+.1f} to {100 * high:+.1f}" in one.reason
        ends = ("bear that out", "chance", "did not", "rule that out", "by more", "and it is")
        assert one.reason.endswith(ends) or re.search(r", which it misses by [0-9.]+$", one.reason)


def test_a_dataset_on_which_one_model_alone_was_evaluated_is_not_judged() -> None:
    rule = PromotionRule(metric="phrase_recall@1", must="not_worsen", margin=0.1)
    gate = GateRecipe(rules=(rule,), resamples=100)
    new, old = reports(OLD, 1), reports(OLD, 2)
    on_val = decide(new[:1], old[:1], gate)
    assert [one.dataset for one in on_val.comparisons] == ["val"]
    assert decide(new[:2], old[:1], gate) == decide(new[:1], old[:2], gate) == on_val


def test_a_rule_may_ask_for_more_confidence_than_the_gate() -> None:
    sure, surer = (RULES[0].model_copy(update={"confidence": value}) for value in (0.8, 0.999))
    gate = GateRecipe(rules=(sure, surer), resamples=500)
    both = decide(reports(OLD.moved(tail=0.1), 1), reports(OLD, 2), gate)
    (low, high), (lower, higher) = (one.interval or (0, 0) for one in both.comparisons)
    assert lower < low < high < higher


@pytest.mark.parametrize("images", [60, 250])
def test_of_200_equal_candidates_at_most_five_in_a_hundred_pass_the_rule_to_improve(images: int) -> None:
    gate = GateRecipe(rules=RULES[:1], resamples=300)
    pairs = [(reports(OLD, 1, world, images)[:1], reports(OLD, 2, world, images)[:1]) for world in range(200)]
    assert sum(decide(new, old, gate).promote for new, old in pairs) <= 10


def test_of_200_equal_candidates_the_whole_gate_promotes_hardly_any() -> None:
    assert sum(judged(OLD, world, resamples=100, images=80).promote for world in range(200)) <= 4
