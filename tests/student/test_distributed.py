"""Several workers take the steps that one process takes; either goes on where the other stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import ray

from engine.mix import Mix
from schemas.recipes import MixEntry, TrainRecipe
from student.distributed import run_distributed
from student.trainer import run

# Ray's own modules warn while they are imported and started; ours must not.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


def _lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]


class _StoppedError(Exception):
    pass


def _stop_after_four(done: int, figures: dict[str, float]) -> None:
    if done == 4:
        raise _StoppedError


def test_two_workers_equal_one_process_from_the_start_and_from_its_checkpoint(
    small_recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures differ in shape and number of boxes from worker to worker, so that equal losses need the normalisers and
    the padding of the whole batch; paths are relative, and Ray moves its workers."""
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(small_recipe.mix[0].dataset)
    recipe = small_recipe.model_copy(update={"mix": (MixEntry(dataset="data"),)})
    mix = Mix.open(recipe.mix, recipe.seed)
    run(recipe, mix, Path("one"), identity="me", metadata={})
    with pytest.raises(_StoppedError):
        run(recipe, mix, Path("resumed"), identity="me", metadata={}, report=_stop_after_four)
    mix.close()
    cluster = {"address": "local", "num_cpus": 2, "include_dashboard": False, "object_store_memory": 100 << 20}
    with ray.init(**cluster, log_to_driver=False, logging_level="ERROR"):
        two = run_distributed(recipe, Path("two"), workers=2, identity="me", metadata={})
        resumed = run_distributed(recipe, Path("resumed"), workers=2, identity="me", metadata={})
    assert (two.first_step, resumed.first_step) == (0, 3)
    for out in ("two", "resumed"):
        for alone, together in zip(_lines(Path("one")), _lines(Path(out)), strict=True):
            for name in ("step", "loss_token", "loss_box", "loss_centerness"):
                assert together[name] == pytest.approx(alone[name], abs=1e-3)
    assert (two.model_folder / "model.safetensors").exists()
