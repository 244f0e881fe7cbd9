"""FSDP on one process: the losses and weights of plain training, and checkpoints that either goes on from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from student_runs import StoppedError, stop_after, train_alone
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from engine.mix import Mix
from glip.checkpoint import load_model
from schemas.recipes import TrainRecipe
from student.checkpoint import load_state
from student.memory import blocks_of
from student.process_group import ShardedWorkers
from student.session import build
from student.trainer import RunResult
from student.training_log import LOSSES

# Of views: the output of the model is cut from one tensor.
pytestmark = pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")


@contextmanager
def _group_of_one() -> Iterator[ShardedWorkers]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield ShardedWorkers(torch.device("cpu"))
    finally:
        dist.destroy_process_group()


def _train_sharded(recipe: TrainRecipe, out: Path, **options: Any) -> RunResult:
    with _group_of_one() as workers:
        return train_alone(recipe, out, workers=workers, **options)


def _assert_same(out: Path, plain: Path) -> None:
    mine, theirs = ([json.loads(line) for line in (one / LOSSES).read_text().splitlines()] for one in (out, plain))
    for one, other in zip(mine, theirs, strict=True):
        for name in ("step", "loss_token", "loss_box", "loss_centerness", "gradient_norm"):
            assert one[name] == pytest.approx(other[name], rel=1e-5), name
    states = [load_state(one, "me") or {} for one in (out, plain)]
    for part in ("model", "average"):
        torch.testing.assert_close(states[0][part], states[1][part], atol=1e-6, rtol=1e-5)
    models = [load_model(one / "model").model.state_dict() for one in (out, plain)]
    torch.testing.assert_close(models[0], models[1], atol=1e-6, rtol=1e-5)


def test_one_sharded_process_has_the_losses_and_weights_of_a_plain_one_wherever_it_takes_over(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    train_alone(small_recipe, tmp_path / "plain")
    _train_sharded(small_recipe, tmp_path / "sharded")
    with pytest.raises(StoppedError):
        train_alone(small_recipe, tmp_path / "taken-over", report=stop_after(4))
    assert _train_sharded(small_recipe, tmp_path / "taken-over").first_step == 3
    with pytest.raises(StoppedError):
        _train_sharded(small_recipe, tmp_path / "given-back", report=stop_after(4))
    assert train_alone(small_recipe, tmp_path / "given-back").first_step == 3
    for out in ("sharded", "taken-over", "given-back"):
        _assert_same(tmp_path / out, tmp_path / "plain")


@pytest.mark.parametrize("options", [{"gradient_checkpointing": True, "accumulation": 2}, {"precision": "bf16"}])
def test_sharding_goes_with_what_saves_memory(
    small_recipe: TrainRecipe, tmp_path: Path, options: dict[str, Any]
) -> None:
    recipe = small_recipe.model_copy(update=options | {"steps": 3})
    plain = train_alone(recipe, tmp_path / "plain").losses
    sharded = _train_sharded(recipe, tmp_path / "sharded").losses
    for name in ("loss_token", "loss_box", "loss_centerness", "gradient_norm"):
        assert sharded[name] == pytest.approx(plain[name], rel=1e-4), name


def test_the_weights_of_a_sharded_run_are_shares(small_recipe: TrainRecipe) -> None:
    """That the runs above were sharded at all."""
    mix = Mix.open(small_recipe.mix, small_recipe.seed)
    with _group_of_one() as workers:
        session = build(small_recipe, mix, workers)
        assert all(isinstance(weight, DTensor) for weight in session.raw.parameters())
        assert all(isinstance(block, FSDPModule) for block in blocks_of(session.raw)), "else all are gathered at once"
    mix.close()
