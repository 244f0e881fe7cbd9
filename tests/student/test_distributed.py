"""Several workers take the steps that one process takes; either goes on where the other stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch
from killed_training import Killer, WritePid
from python_paths import python_path
from student_runs import FailAtCheckpoint, StoppedError, stop_after, train_alone

from glip.checkpoint import load_model
from schemas.recipes import MixEntry, TrainRecipe
from student.distributed import RESULT, run_distributed

# Ray's own modules warn while they are imported and started; ours must not.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


def _lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    options = {"address": "local", "num_cpus": 2, "include_dashboard": False, "object_store_memory": 100 << 20}
    with ray.init(**options, runtime_env={"env_vars": python_path()}, log_to_driver=False, logging_level="ERROR"):
        yield


def _assert_same_losses(out: Path, alone: Path) -> None:
    for mine, theirs in zip(_lines(out), _lines(alone), strict=True):
        for name in ("step", "loss_token", "loss_box", "loss_centerness"):
            assert mine[name] == pytest.approx(theirs[name], abs=1e-3)


@pytest.mark.usefixtures("cluster")
def test_two_workers_go_on_where_one_process_stopped_and_again_after_one_was_killed_as_it_would_have_gone_on(
    small_recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures differ in shape and number of boxes from worker to worker, so that equal losses need the normalisers and
    the padding of the whole batch; paths are relative, and Ray moves its workers."""
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(small_recipe.mix[0].dataset)
    recipe = small_recipe.model_copy(update={"mix": (MixEntry(dataset="data"),), "steps": 12})
    train_alone(recipe, Path("one"))
    out = Path("resumed")
    with pytest.raises(StoppedError):
        train_alone(recipe, out, report=stop_after(4))
    made = _lines(out)[:3]
    killer = Killer(out, after_step=7)
    killer.start()
    result = run_distributed(recipe, out, workers=2, cores=2, identity="me", metadata={}, on_checkpoint=WritePid(out))
    killer.join(timeout=10)
    assert killer.killed
    assert _lines(out)[:3] == made, "with its rates and times: the steps of the one process are not made again"
    assert result.first_step in (6, 9)
    assert not (out / RESULT).exists(), "it is of the workers alone"
    _assert_same_losses(out, Path("one"))
    _assert_same_model(out, Path("one"))


def _assert_same_model(out: Path, alone: Path) -> None:
    mine, theirs = (load_model(folder / "model").model.state_dict() for folder in (out, alone))
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, atol=2e-3, rtol=1e-3)


@pytest.mark.usefixtures("cluster")
def test_shards_of_two_workers_go_on_where_one_process_ended_and_one_process_goes_on_from_shards(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    constant = small_recipe.optimizer.model_copy(update={"schedule": "step", "milestones": ()})
    recipe = small_recipe.model_copy(update={"optimizer": constant, "steps": 9})  # a shorter run has the same rates
    train_alone(recipe, tmp_path / "alone")
    out = tmp_path / "shared"
    train_alone(recipe.model_copy(update={"steps": 3}), out)
    sharded = recipe.model_copy(update={"strategy": "fsdp", "steps": 6})
    assert run_distributed(sharded, out, workers=2, cores=2, identity="me", metadata={}).first_step == 3
    assert train_alone(recipe, out).first_step == 6
    _assert_same_losses(out, tmp_path / "alone")
    _assert_same_model(out, tmp_path / "alone")


@pytest.mark.usefixtures("cluster")
def test_a_worker_need_not_have_the_folder_that_the_run_was_started_in(
    small_recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe.model_copy(update={"steps": 1})
    monkeypatch.setattr(os, "getcwd", lambda: str(tmp_path / "only on the machine that started it"))
    assert run_distributed(recipe, tmp_path / "out", workers=1, cores=2, identity="me", metadata={}).steps == 1


@pytest.mark.usefixtures("cluster")
def test_a_run_that_a_lost_machine_leaves_without_room_says_what_it_waits_for(
    small_recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", dict)  # until the machine comes back
    recipe = small_recipe.model_copy(update={"steps": 1})
    assert run_distributed(recipe, tmp_path / "out", workers=1, cores=2, identity="me", metadata={}).steps == 1
    assert "training waits for room: its workers need 1 CPUs, the cluster has 0" in caplog.text


@pytest.mark.usefixtures("cluster")
def test_what_is_wrong_with_a_run_ends_it_at_once_in_the_words_of_one_process(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    gone = FailAtCheckpoint(tmp_path / "calls", ValueError("the exam is gone"))
    with pytest.raises(ValueError, match=r"^the exam is gone$"):
        run_distributed(
            small_recipe, tmp_path / "out", workers=1, cores=2, identity="me", metadata={}, on_checkpoint=gone
        )
    assert gone.calls.read_text() == "3\n"


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_workers_that_fail_more_often_than_they_may_are_told_of_in_one_line(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    recipe = small_recipe.model_copy(update={"max_restarts": 1})
    failing = FailAtCheckpoint(tmp_path / "calls", RuntimeError("the machine\nis tired"))
    with pytest.raises(RuntimeError, match=r"started 2 times .*by RuntimeError: the machine is tired; run the same"):
        run_distributed(recipe, tmp_path / "out", workers=1, cores=2, identity="me", metadata={}, on_checkpoint=failing)
    assert failing.calls.read_text() == "3\n3\n", "at the checkpoint, and once more where the run went on from it"


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_run_that_may_be_smaller_begins_with_the_workers_there_is_room_for(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    train_alone(small_recipe, tmp_path / "alone")
    recipe = small_recipe.model_copy(update={"min_workers": 1})
    run_distributed(recipe, tmp_path / "four", workers=4, cores=2, identity="me", metadata={})
    _assert_same_losses(tmp_path / "four", tmp_path / "alone")
