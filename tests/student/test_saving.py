"""A checkpoint that cannot be written, or read: one clear line, and the checkpoint before it is whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from student_runs import train_alone

from glip.checkpoint import load_model
from schemas.recipes import TrainRecipe
from student.checkpoint import STATE, load_state, save_state

# Files of the process end where the limit is, as on a disk that is full.
JOB = """
import resource, signal, sys
from pathlib import Path
from engine.mix import Mix
from schemas.recipes import TrainRecipe
from student.trainer import run
recipe = TrainRecipe.model_validate_json(sys.argv[1])
mix = Mix.open(recipe.mix, recipe.seed, recipe.sampling)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
run(recipe, mix, Path(sys.argv[2]), identity="me", metadata={})
"""


@pytest.mark.parametrize("share", [0.0, 0.5, 2.0])
def test_a_disk_that_is_full_while_saving_leaves_the_checkpoint_before(
    small_recipe: TrainRecipe, tmp_path: Path, share: float
) -> None:
    """The limit cuts off the model, or, above its size, the state, which is larger."""
    recipe = small_recipe.model_copy(update={"steps": 3})
    train_alone(recipe, tmp_path)
    before = load_model(tmp_path / "model")
    limit = 100_000 + round(share * (tmp_path / "model" / "model.safetensors").stat().st_size)
    more = recipe.model_copy(update={"steps": 6})
    command = [sys.executable, "-c", JOB, more.model_dump_json(), str(tmp_path), str(limit)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 1
    assert "before is whole: make room on the disk" in done.stderr.splitlines()[-1]
    state = load_state(tmp_path, "me")
    assert state is not None
    assert state["step"] == 3
    after = load_model(tmp_path / "model")
    assert after.metadata["steps"] in (3, 6)  # whole, whichever it is
    assert (after.digest == before.digest) == (after.metadata["steps"] == 3)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".writing")]
    train_alone(more, tmp_path)
    assert load_model(tmp_path / "model").metadata["steps"] == 6


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_a_checkpoint_that_was_cut_off_is_named_in_one_line(tmp_path: Path, share: float) -> None:
    save_state(tmp_path, {"identity": "me", "step": 1, "model": {"weight": torch.arange(10_000.0)}})
    content = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"state\.pt cannot be read") as caught:
        load_state(tmp_path, "me")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_size_is_refused(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    """The identity of a run names its data and its recipe; a state whose tensors do not fit is told all the same."""
    train_alone(small_recipe.model_copy(update={"steps": 1}), tmp_path)
    state = load_state(tmp_path, "me")
    assert state is not None
    name = next(iter(state["model"]))
    state["model"][name] = torch.zeros(3)
    save_state(tmp_path, state)
    with pytest.raises(ValueError, match=r"state\.pt.*another size"):
        train_alone(small_recipe, tmp_path)
