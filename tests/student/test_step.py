"""One step of the optimiser: chance, rates, clipping, the average; what losses are computed in and divided by."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from engine.mix import Mix
from glip.head import GLIPOutput
from glip.losses import GroundingTarget, grounding_losses
from glip.masked_language import NOT_MASKED
from schemas.recipes import OptimizerRecipe, TrainRecipe
from student.optimizer import rate_factor
from student.parts import parts_of_step
from student.session import Session, build
from student.step import forward_losses, train_step
from student.workers import Workers


@contextmanager
def _session(recipe: TrainRecipe, workers: Workers | None = None) -> Iterator[Session]:
    mix = Mix.open(recipe.mix, recipe.seed)
    yield build(recipe, mix, workers or Workers())
    mix.close()


class _OneOfTwo(Workers):
    """The first of two workers, of which the other has nothing."""

    size = 2

    def mean(self, value: Tensor) -> Tensor:
        return value.detach() / 2


def _seed_in_the_model(recipe: TrainRecipe, step: int, rank: int) -> int:
    """What chance begins from when the model is called: its dropout is drawn from it."""
    with _session(recipe) as session:
        session.workers.rank = rank
        seeds: list[int] = []
        session.raw.register_forward_pre_hook(lambda *_: seeds.append(torch.initial_seed()))
        torch.manual_seed(12345)
        train_step(session, session.data.batch(0), step)
    return seeds[0]


def test_dropout_is_another_for_each_seed_step_and_worker_and_the_same_again(small_recipe: TrainRecipe) -> None:
    other = small_recipe.model_copy(update={"seed": 1})
    runs = [(small_recipe, 0, 0), (small_recipe, 1, 0), (small_recipe, 0, 1), (other, 0, 0)]
    seeds = [_seed_in_the_model(*run) for run in runs]
    assert len(set(seeds)) == len(runs)
    assert _seed_in_the_model(*runs[1]) == seeds[1]


def test_all_of_a_model_that_was_opened_for_inference_is_in_training_mode(small_recipe: TrainRecipe) -> None:
    with _session(small_recipe) as session:
        assert all(module.training for module in session.raw.modules())


def test_a_step_learns_at_its_rate_from_a_clipped_gradient_and_moves_the_average(small_recipe: TrainRecipe) -> None:
    optimizer = OptimizerRecipe(lr=1e-3, warmup_steps=10, clip_norm=0.01)
    with _session(small_recipe.model_copy(update={"optimizer": optimizer})) as session:
        before = {name: value.clone() for name, value in session.average.weights.items()}
        norm = train_step(session, session.data.batch(0), 4)["gradient_norm"]
        factor = rate_factor(4, small_recipe.steps, optimizer)
        assert 0 < factor < 1
        assert all(group["lr"] == pytest.approx(group["base_lr"] * factor) for group in session.optimizer.param_groups)
        gradients = [weight.grad for weight in session.raw.parameters() if weight.grad is not None]
        assert norm > 0.02, "what is told is the norm before it was clipped"
        assert nn.utils.get_total_norm(gradients) == pytest.approx(0.01, rel=1e-3)
        for name, value in session.raw.named_parameters():
            average = before[name] + (1 - 5 / 14) * (value.detach() - before[name])
            torch.testing.assert_close(session.average.weights[name], average)


def test_losses_of_a_bf16_answer_are_computed_in_fp32(small_recipe: TrainRecipe) -> None:
    answers: list[GLIPOutput] = []
    with _session(small_recipe.model_copy(update={"precision": "bf16"})) as session:
        session.raw.register_forward_hook(lambda model, given, answer: answers.append(answer))
        batch = session.data.batch(0)
        [part] = parts_of_step(batch, session.recipe, session.config, session.workers)
        losses = forward_losses(session, part)
    assert answers[0].centerness[0].dtype == torch.bfloat16
    exact = grounding_losses(answers[0], batch.targets, batch.attention_mask_bt, session.config)
    assert all(torch.equal(losses[name], exact[name]) for name in exact)


def test_what_a_step_is_divided_by_is_counted_over_its_parts_and_workers(small_recipe: TrainRecipe) -> None:
    update = {"masked_language": 1.0, "masked_share": 0.4, "granular_alignment": 1.0, "accumulation": 2}
    with _session(small_recipe.model_copy(update=update)) as session:
        batch = session.data.batch(0)
        alone, half = (
            parts_of_step(batch, session.recipe, session.config, workers)
            for workers in (session.workers, _OneOfTwo(session.device))
        )
        nothing = GroundingTarget(torch.zeros(0, 4), torch.zeros(0, batch.token_ids_bt.shape[1], dtype=torch.bool))
        empty = dataclasses.replace(batch, targets=[nothing] * len(batch.targets))
        [first, _] = parts_of_step(empty, session.recipe, session.config, _OneOfTwo(session.device))
    words = batch.words or []
    counts = (
        sum(len(part.positives.anchor_P) for part in alone),
        sum(int((picture.told_T != NOT_MASKED).sum()) for picture in words),
        sum(int(picture.locate_K.sum()) for picture in words),
    )
    assert len(set(counts)) == 3
    for parts, workers in ((alone, 1), (half, 2)):
        for part in parts:
            found = part.counts
            assert [float(n) * workers for n in (found.grounding[0], found.masked, found.located)] == list(counts)
            assert found.parts == 2
    assert first.counts.grounding[0] == 0.5, "of two workers without a positive anchor: one in all, not one each"
