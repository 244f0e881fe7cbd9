"""Groups, rates and the average of the weights."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import nn

from glip.config import GLIPConfig
from glip.model import GLIP
from schemas.recipes import OptimizerRecipe, TrainRecipe
from student.optimizer import WeightAverage, build_optimizer, rate_factor, set_rates, short_of_full_rate


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.language_backbone = nn.ModuleDict({"body": nn.Linear(2, 2)})
        self.head = nn.Linear(2, 2)
        self.frozen = nn.Parameter(torch.zeros(1), requires_grad=False)


def test_text_learns_at_its_share_biases_twice_as_fast_and_without_decay() -> None:
    model = _Model()
    optimizer = build_optimizer(model, OptimizerRecipe(lr=1e-2, text_lr_factor=0.1, weight_decay=0.3))
    found = {
        name: (group["lr"], group["weight_decay"])
        for name, parameter in model.named_parameters()
        for group in optimizer.param_groups
        if any(parameter is member for member in group["params"])
    }
    assert found == {
        "language_backbone.body.weight": (pytest.approx(1e-3), 0.3),
        "language_backbone.body.bias": (pytest.approx(2e-3), 0.0),
        "head.weight": (pytest.approx(1e-2), 0.3),
        "head.bias": (pytest.approx(2e-2), 0.0),
    }


def test_of_the_model_itself_biases_of_any_kind_do_not_decay_and_norms_do() -> None:
    """SPEC section 11; neither the BERT layers of the head nor the vectors of prompt tuning are the text encoder."""
    model = GLIP(dataclasses.replace(GLIPConfig.nano(), text_offsets=True))
    optimizer = build_optimizer(model, OptimizerRecipe(lr=1.0, text_lr_factor=0.1, weight_decay=0.3))
    groups = {member: group for group in optimizer.param_groups for member in group["params"]}
    kinds, seen = ("relative_position_bias_table", "bias_lang", "bias0", "norm", ".bn."), set()
    for name, parameter in model.named_parameters():
        is_text, is_bias = name.startswith("language_backbone.body."), "bias" in name
        group = groups.pop(parameter)
        assert group["lr"] == pytest.approx((0.1 if is_text else 1.0) * (2 if is_bias else 1)), name
        assert group["weight_decay"] == (0 if is_bias else 0.3), name
        seen |= {
            word for word in ("relative_position_bias_table", "bias_lang", "bias0", "norm", ".bn.") if word in name
        }
    assert not groups
    assert seen == set(kinds)


def test_the_step_schedule_cuts_by_ten_at_each_milestone() -> None:
    recipe = OptimizerRecipe(warmup_steps=0, milestones=(0.5, 0.75))
    assert [rate_factor(step, 100, recipe) for step in (0, 49, 50, 74, 75, 99)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_warm_up_rises_from_a_thousandth_in_a_line() -> None:
    recipe = OptimizerRecipe(warmup_steps=10)
    factors = [rate_factor(step, 1000, recipe) for step in range(11)]
    assert factors[0] == pytest.approx(0.001)
    assert factors[5] == pytest.approx(0.5005)
    assert factors[10] == 1


def test_cosine_falls_from_the_full_rate_to_a_hundredth() -> None:
    recipe = OptimizerRecipe(warmup_steps=0, schedule="cosine")
    factors = [rate_factor(step, 100, recipe) for step in range(101)]
    assert factors[0] == 1
    assert factors[50] == pytest.approx((1 + 0.01) / 2)
    assert factors[100] == pytest.approx(0.01)
    assert factors == sorted(factors, reverse=True)


def test_warm_up_and_cosine_are_multiplied() -> None:
    """The cosine falls from the first step on, not from the end of the warm-up."""
    recipe = OptimizerRecipe(warmup_steps=40, schedule="cosine")
    cosine = 0.01 + 0.99 * (1 + math.cos(math.pi / 4)) / 2
    assert rate_factor(10, 40, recipe) == pytest.approx((0.001 + 0.999 / 4) * cosine)


@pytest.mark.parametrize(
    ("steps", "optimizer", "told"),
    [
        (60, {"schedule": "cosine"}, "the run ends at step 60, before the warm-up does at step 100"),
        (60, {"milestones": ()}, "reaches 59.0% of lr at most"),
        (140, {}, "the full rate ends, by a milestone, at step 94, before the warm-up does at step 100"),
        (150, {}, None),
        (100, {"schedule": "cosine"}, None),
        (1, {"warmup_steps": 0}, None),
    ],
)
def test_a_warm_up_that_does_not_end_in_time_is_told(steps: int, optimizer: dict[str, Any], told: str | None) -> None:
    fields = {"mix": [{"dataset": "x"}], "steps": steps, "optimizer": optimizer}
    lines = short_of_full_rate(TrainRecipe.model_validate(fields))
    assert len(lines) == (told is not None)
    assert (told or "") in "".join(lines)


def test_moments_are_kept_as_long_as_those_of_the_published_runs() -> None:
    """PyTorch's own numbers, which the reference leaves as they are; its AMSGrad is off."""
    for group in build_optimizer(_Model(), OptimizerRecipe()).param_groups:
        assert (group["betas"], group["eps"], group["amsgrad"]) == ((0.9, 0.999), 1e-8, False)


def test_every_group_follows_the_schedule_from_its_own_rate() -> None:
    optimizer = build_optimizer(_Model(), OptimizerRecipe(lr=1.0, text_lr_factor=0.5))
    set_rates(optimizer, 0.1)
    set_rates(optimizer, 0.2)
    assert sorted(group["lr"] for group in optimizer.param_groups) == pytest.approx([0.1, 0.2, 0.2, 0.4])


def test_the_average_follows_the_weights_and_settles_on_constant_ones() -> None:
    model = _Model()
    average = WeightAverage(model, 0.9)
    start = average.weights["head.weight"].clone()
    with torch.no_grad():
        model.head.weight.fill_(3.0)
    average.update(model, 0)
    first = average.weights["head.weight"].clone()
    torch.testing.assert_close(first, 0.1 * start + 0.9 * 3.0, msg="a random start is soon forgotten")
    for step in range(1, 100):
        average.update(model, step)
    assert bool((first < 3.0).all())
    torch.testing.assert_close(average.weights["head.weight"], torch.full((2, 2), 3.0))


def test_without_decay_the_average_is_the_latest_weights() -> None:
    model = _Model()
    average = WeightAverage(model, 0.0)
    with torch.no_grad():
        model.head.weight.fill_(7.0)
    average.update(model, 50)
    torch.testing.assert_close(average.weights["head.weight"], model.head.weight.detach())
