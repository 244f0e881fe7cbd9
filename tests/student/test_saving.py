"""A checkpoint that cannot be written, or read: one clear line, and the checkpoint before it is whole."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_jobs import call_apart
from student_runs import train_alone

from glip.checkpoint import load_model, save_model
from glip.model import GLIP
from glip.tokens import PromptTokenizer
from schemas.recipes import TrainRecipe
from student import trainer
from student.checkpoint import STATE, load_state, save_state


def train_on_full_disk(recipe: TrainRecipe, out: Path, limit: int) -> str:
    """What is said: files of the process end where the limit is, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        train_alone(recipe, out)
    except OSError as error:
        return str(error)
    return "nothing"


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
    said = call_apart(train_on_full_disk, more, tmp_path, limit)
    assert "before is whole: make room on the disk" in said
    assert "\n" not in said
    state = load_state(tmp_path, "me")
    assert state is not None
    assert state["step"] == 3
    after = load_model(tmp_path / "model")
    assert after.metadata["steps"] in (3, 6)  # whole, whichever it is
    assert (after.digest == before.digest) == (after.metadata["steps"] == 3)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".writing")]
    train_alone(more, tmp_path)
    assert load_model(tmp_path / "model").metadata["steps"] == 6


def test_a_run_that_dies_while_its_last_model_is_saved_makes_the_steps_again_and_the_model(
    small_recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is written last: whoever finds it finds its model too."""
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_model", no_room_after(4))
        with pytest.raises(OSError, match="the checkpoint after 6 steps could not be written"):
            train_alone(small_recipe, tmp_path)
    assert train_alone(small_recipe, tmp_path).first_step == 3
    assert load_model(tmp_path / "model").metadata["steps"] == 6


def test_a_model_that_was_moved_away_is_written_again_from_the_state(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    """Also where the run is done: it says where its model is."""
    train_alone(small_recipe, tmp_path)
    before = load_model(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    heard: list[tuple[int, str]] = []
    result = train_alone(
        small_recipe, tmp_path, on_checkpoint=lambda steps, model: heard.append((steps, load_model(model).digest))
    )
    assert heard == [(6, before.digest)]
    assert load_model(result.model_folder).metadata == before.metadata


def test_a_disk_that_is_full_while_a_model_is_written_again_is_told_as_any_other(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    train_alone(small_recipe, tmp_path)
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    said = call_apart(train_on_full_disk, small_recipe, tmp_path, 100_000)
    assert said.startswith(f"the checkpoint after 6 steps could not be written into {tmp_path} (")
    assert said.endswith("before is whole: make room on the disk and run the same command again")
    assert not (tmp_path / "model").exists()
    assert load_model(train_alone(small_recipe, tmp_path).model_folder).metadata["steps"] == 6


def no_room_after(steps: int) -> Callable[..., Path]:
    """Saves models of as many steps, and no others."""

    def save(out: Path, model: GLIP, tokenizer: PromptTokenizer, metadata: dict[str, Any]) -> Path:
        if metadata["steps"] > steps:
            raise OSError("no space left on device")
        return save_model(out, model, tokenizer, metadata)

    return save


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
