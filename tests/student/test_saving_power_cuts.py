"""The power is cut while a checkpoint is saved: the model is the one before or the new one, whole, and so the state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from power_cuts import DiskRecord, State, put
from student_runs import train_alone

from glip.hub import file_sha256
from glip.model_folder import read_description
from glip.whole_folder import written_whole
from schemas.recipes import TrainRecipe
from student.checkpoint import load_state, save_state
from student.training_log import LOSSES, figures_of

OLD, NEW = {"config.json": b"old", "weights": b"1", "vocabulary": b""}, {"config.json": b"new", "weights": b"22"}


def write(folder: Path, files: dict[str, bytes]) -> None:
    with written_whole(folder) as draft:
        for name, content in files.items():
            (draft / name).write_bytes(content)


def folder_of(state: State, name: str) -> dict[str, bytes | None] | None:
    """The files of a folder; None where there is none."""
    if name not in state:
        return None
    return {path.removeprefix(f"{name}/"): content for path, content in state.items() if path.startswith(f"{name}/")}


@pytest.mark.parametrize("before", [None, OLD])
def test_a_folder_is_there_whole_or_not_at_all_and_after_its_save_it_is_the_new_one(
    tmp_path: Path, before: dict[str, bytes] | None
) -> None:
    if before is not None:
        write(tmp_path / "model", before)
    with DiskRecord(tmp_path) as record:
        write(tmp_path / "model", NEW)
    for state in record.states():
        assert folder_of(state, "model") in (before, None, NEW)
        if "model" not in state:  # between the two names: the one before waits under another
            assert before is None or before in [folder_of(state, path) for path in state]
    at_the_end = [folder_of(state, "model") for state in record.states_at_the_end()]
    assert at_the_end == [NEW] * len(at_the_end)


def test_a_state_is_the_one_before_or_the_new_one_and_after_its_save_the_new_one(tmp_path: Path) -> None:
    def steps(state: State) -> int:
        found = load_state(put(state, tmp_path / "cut") / "run", "me")
        assert found is not None
        return int(found["step"])

    (tmp_path / "disk").mkdir()
    save_state(tmp_path / "disk" / "run", {"identity": "me", "step": 1, "model": {"weight": torch.zeros(10)}})
    with DiskRecord(tmp_path / "disk") as record:
        save_state(tmp_path / "disk" / "run", {"identity": "me", "step": 2, "model": {"weight": torch.ones(10)}})
    assert {steps(state) for state in record.states()} == {1, 2}
    assert {steps(state) for state in record.states_at_the_end()} == {2}


def test_a_state_is_never_without_the_lines_of_its_steps_and_a_model_of_no_fewer(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    with DiskRecord(tmp_path / "disk") as record:
        train_alone(small_recipe.model_copy(update={"steps": 2, "checkpoint_every": 1}), tmp_path / "disk" / "run")
    found = set()
    for state in record.states():
        run = put(state, tmp_path / "cut") / "run"
        saved = load_state(run, "me")
        if saved is None:
            continue
        lines = (run / LOSSES).read_bytes().splitlines(keepends=True)[: saved["step"]]
        assert [(figures_of(line) or {}).get("step") for line in lines] == [*range(1, saved["step"] + 1)]
        if (model := run / "model").exists():
            description = read_description(model)
            assert {name: file_sha256(model / name) for name in description["sha256"]} == description["sha256"]
            assert description["metadata"]["steps"] >= saved["step"]
        found.add((saved["step"], model.exists()))
    assert found == {(1, True), (1, False), (2, True)}
