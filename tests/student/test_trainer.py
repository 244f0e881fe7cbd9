"""The loop: it learns, it resumes to the same losses, and it refuses what does not belong to it."""

from __future__ import annotations

import json
import math
import pickle
import time
from pathlib import Path

import pytest
import torch
from student_runs import StoppedError, stop_after, train_alone

from engine.mix import Mix
from glip.checkpoint import load_model
from schemas.recipes import OptimizerRecipe, TrainRecipe
from student import trainer
from student.checkpoint import STATE, load_state, save_state
from student.collate import Batch
from student.optimizer import rate_factor
from student.session import Session, build
from student.step import train_step
from student.training_log import LOSSES
from student.workers import Workers


def _losses(out: Path) -> list[tuple[int, float, float]]:
    lines = [json.loads(line) for line in (out / LOSSES).read_text().splitlines()]
    return [(line["step"], line["loss_token"], line["loss_box"]) for line in lines]


def test_a_run_that_was_killed_and_resumed_is_the_run_that_was_not(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    train_alone(small_recipe, tmp_path / "whole")
    with pytest.raises(StoppedError):
        train_alone(small_recipe, tmp_path / "parts", report=stop_after(5))
    assert len(_losses(tmp_path / "parts")) == 5
    result = train_alone(small_recipe, tmp_path / "parts")
    assert result.first_step == 3
    assert _losses(tmp_path / "parts") == _losses(tmp_path / "whole")
    assert load_model(tmp_path / "parts" / "model").digest == load_model(tmp_path / "whole" / "model").digest


def test_threads_of_the_loader_change_no_loss(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    train_alone(small_recipe, tmp_path / "none")
    train_alone(small_recipe.model_copy(update={"loader_threads": 2}), tmp_path / "two")
    assert _losses(tmp_path / "none") == _losses(tmp_path / "two")


def test_a_finished_run_is_not_trained_again(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    first = train_alone(small_recipe, tmp_path)
    before = load_model(tmp_path / "model").digest
    result = train_alone(small_recipe, tmp_path)
    assert (result.first_step, result.losses) == (small_recipe.steps, first.losses)
    assert result.images_per_second == first.losses["images_per_second"]
    assert load_model(tmp_path / "model").digest == before


def test_the_rate_of_a_run_is_without_what_its_checkpoints_are_asked(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    began = time.perf_counter()
    result = train_alone(small_recipe, tmp_path, on_checkpoint=lambda steps, model: time.sleep(1))
    slept, took = small_recipe.steps // small_recipe.checkpoint_every, time.perf_counter() - began
    assert slept == 2
    assert small_recipe.steps * small_recipe.batch_size / result.images_per_second < took - slept


def test_a_checkpoint_is_heard_of_with_its_steps_and_its_model_and_a_shorter_run_is_none_to_go_on_from(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    heard: list[tuple[int, int]] = []
    train_alone(
        small_recipe,
        tmp_path,
        on_checkpoint=lambda steps, model: heard.append((steps, load_model(model).metadata["steps"])),
    )
    assert heard == [(3, 3), (6, 6)]
    with pytest.raises(ValueError, match="holds a run of 6 steps, the recipe has 5"):
        train_alone(small_recipe.model_copy(update={"steps": 5}), tmp_path)


def test_the_saved_model_is_the_average_and_says_what_it_was_made_from(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    result = train_alone(small_recipe, tmp_path)
    loaded = load_model(result.model_folder)
    state = load_state(tmp_path, "me")
    assert state is not None
    name, weights = next(iter(loaded.model.named_parameters()))
    torch.testing.assert_close(weights.detach(), state["average"][name])
    assert not torch.equal(state["average"][name], state["model"][name])
    assert loaded.metadata == {"made_by": "test", "steps": 6}


def test_the_log_holds_losses_rate_speed_and_the_share_of_waiting_for_data(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    result = train_alone(small_recipe, tmp_path)
    line = json.loads((tmp_path / LOSSES).read_text().splitlines()[-1])
    assert line == {"step": 6} | result.losses
    assert all(math.isfinite(value) for value in line.values())
    assert {"loss_token", "loss_box", "loss_centerness", "gradient_norm", "lr", "images_per_second"} < line.keys()
    assert line["lr"] == pytest.approx(small_recipe.optimizer.lr * rate_factor(5, 6, small_recipe.optimizer))
    assert 0 <= line["data_wait_share"] <= 1
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_checkpoint_of_another_run_is_refused(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    train_alone(small_recipe, tmp_path)
    with pytest.raises(ValueError, match="another recipe, mix or model"):
        train_alone(small_recipe, tmp_path, identity="someone else")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE).write_bytes(content)
    with pytest.raises(ValueError, match=r"state\.pt cannot be read") as caught:
        load_state(tmp_path, "me")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_with_code_in_it_is_not_executed(tmp_path: Path) -> None:
    torch.save({"identity": "me", "harm": Path("/")}, tmp_path / STATE)
    with pytest.raises(ValueError, match="cannot be read"):
        load_state(tmp_path, "me")


def test_a_failure_while_saving_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    save_state(tmp_path, {"identity": "me", "step": 1})
    with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
        save_state(tmp_path, {"identity": "me", "step": 2, "bad": lambda: None})
    state = load_state(tmp_path, "me")
    assert state is not None
    assert state["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


def test_a_step_whose_gradient_is_not_finite_changes_nothing(small_recipe: TrainRecipe) -> None:
    mix = Mix.open(small_recipe.mix, small_recipe.seed)
    session = build(small_recipe, mix, Workers())
    batch = session.data.batch(0)
    next(session.raw.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    before = {name: value.clone() for name, value in session.raw.named_parameters()}
    values = train_step(session, batch, 0)
    assert not values["gradient_norm"].isfinite()
    assert all(torch.equal(value, before[name]) for name, value in session.raw.named_parameters())
    mix.close()


def test_a_run_that_only_skips_steps_ends_and_says_what_to_change(
    small_recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "MAX_SKIPPED_IN_A_ROW", 2)
    optimizer = OptimizerRecipe(lr=1e30, warmup_steps=0)  # after the first step no weight is good for anything
    recipe = small_recipe.model_copy(update={"optimizer": optimizer, "checkpoint_every": 100})
    with pytest.raises(FloatingPointError, match=r"in the 2 steps up to \d .*gradient_norm.*lower optimizer.lr"):
        train_alone(recipe, tmp_path)
    last = json.loads((tmp_path / LOSSES).read_text().splitlines()[-1])
    assert last["skipped_steps"] == 1
    assert "loss_token" not in last, "a mean with a loss that is no number would be no JSON"


def test_a_short_run_ends_when_half_of_its_steps_in_a_row_taught_nothing(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    """One of fewer than fifty steps would give the model that it began with, without a word."""
    optimizer = OptimizerRecipe(lr=1e30, warmup_steps=0)
    with pytest.raises(FloatingPointError, match=r"in the 3 steps up to \d"):
        train_alone(small_recipe.model_copy(update={"optimizer": optimizer}), tmp_path)


def test_skipped_steps_are_counted_over_the_whole_run_and_those_in_a_row_since_the_last_good_one(
    small_recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def every_other_is_bad(session: Session, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        factor = float("inf") if step % 2 == 0 else 1.0
        hook = next(session.raw.parameters()).register_hook(lambda gradient: gradient * factor)
        values = train_step(session, batch, step)
        hook.remove()
        return values

    monkeypatch.setattr(trainer, "train_step", every_other_is_bad)
    monkeypatch.setattr(trainer, "MAX_SKIPPED_IN_A_ROW", 2)
    with pytest.raises(StoppedError):
        train_alone(small_recipe, tmp_path, report=stop_after(4))
    result = train_alone(small_recipe, tmp_path)
    assert (result.first_step, result.skipped_steps) == (3, 3)


def test_a_random_start_needs_a_vocabulary(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        train_alone(small_recipe.model_copy(update={"init": "random:nano"}), tmp_path)


def test_bf16_learns_what_fp32_learns(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    exact = train_alone(small_recipe, tmp_path / "fp32").losses
    rounded = train_alone(small_recipe.model_copy(update={"precision": "bf16"}), tmp_path / "bf16").losses
    assert rounded["loss_token"] == pytest.approx(exact["loss_token"], rel=0.05)
    assert rounded["loss_token"] != exact["loss_token"]


@pytest.mark.slow
def test_a_small_model_overfits_four_scenes(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    optimizer = OptimizerRecipe(lr=3e-3, text_lr_factor=1.0, warmup_steps=20, schedule="cosine", ema_decay=0.9)
    recipe = small_recipe.model_copy(
        update={"steps": 400, "log_every": 20, "checkpoint_every": 400, "min_sizes": (96,), "max_size": 160}
        | {"flip": False, "color_jitter": 0.0, "optimizer": optimizer, "batch_size": 12}
    )
    train_alone(recipe, tmp_path)
    losses = _losses(tmp_path)
    assert losses[-1][1] < 0.15 * losses[0][1]
    assert losses[-1][2] < 0.3 * losses[0][2]
