"""A retraining into a registry on S3 that dies while it promotes: the next call ends it, with one promotion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_retraining import call, let_pass, recipe_of, tiny_retraining

import engine.registry
from engine.retraining.records import RetrainRecords
from pipelines.registry import history, promote, show
from schemas.retrain_recipes import RetrainRecipe


class DiesError(BaseException):
    """What no code of ours catches: the process is gone."""


@pytest.fixture
def recipe(random_checkpoint: Path, s3_bucket: str, tmp_path: Path) -> RetrainRecipe:
    registry = f"{s3_bucket}/models"
    promote(random_checkpoint, registry, progress=False)
    fields = tiny_retraining(random_checkpoint, tmp_path)
    let_pass(fields)
    fields["generation"]["registry"] = registry
    fields["generation"]["label"]["teacher"]["checkpoint"] = f"registry:{registry}"
    return recipe_of(fields)


@pytest.mark.parametrize(("function", "dies_after"), [("swap", False), ("swap", True), ("create", True)])
def test_killed_while_it_promotes_it_ends_with_one_promotion(
    recipe: RetrainRecipe, monkeypatch: pytest.MonkeyPatch, function: str, dies_after: bool
) -> None:
    """Before the pointer moves, between pointer and history, and before the run is on record as promoted."""
    with monkeypatch.context() as patch:
        patch.setattr(engine.registry, function, _dying(getattr(engine.registry, function), dies_after))
        with pytest.raises(DiesError):
            call(recipe)
    registry = str(recipe.generation.registry)
    records = RetrainRecords(registry)
    assert [run.finished for run in records.all()] == [None]
    result = call(recipe)
    assert (result.outcome, result.run.number, result.run.attempts) == ("promoted", 1, 2)
    moves = history(registry, progress=False)
    assert [entry.action for entry in moves.entries] == ["promote", "promote"]
    assert result.run.promoted == f"registry:{registry}@{moves.entries[-1].version}"
    assert [one.problem for one in show(registry, progress=False).versions if one.was_current] == [None, None]
    assert call(recipe).outcome == "not due"


def _dying(work: Callable[..., Any], dies_after: bool) -> Callable[..., Any]:
    def die(*given: Any) -> None:
        if dies_after:
            work(*given)
        raise DiesError

    return die
