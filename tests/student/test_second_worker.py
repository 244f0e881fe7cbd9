"""The workers beside the first learn as it does, and neither write nor are heard."""

from __future__ import annotations

from pathlib import Path

import pytest
from student_runs import train_alone

from schemas.recipes import TrainRecipe
from student.workers import Workers


class _Second(Workers):
    """The second of two, of which the first has the same to say."""

    rank, size = 1, 2


def test_only_the_first_worker_writes_and_has_its_checkpoints_judged(
    small_recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    judged: list[int] = []
    result = train_alone(
        small_recipe, tmp_path / "run", workers=_Second(), on_checkpoint=lambda steps, model: judged.append(steps)
    )
    assert result.steps == small_recipe.steps
    assert result.losses["loss_token"] > 0
    assert judged == []
    assert not (tmp_path / "run").exists()
