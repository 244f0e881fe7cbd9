"""A retraining on a few scenes, into a registry whose first version is there; its gate never lets a student pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_generations import tiny_generation

from pipelines.registry import promote
from pipelines.retrain import retrain
from schemas.retrain_recipes import RetrainRecipe

HOOK = {"url": "http://127.0.0.1/x", "events": ["promoted", "refused", "failed"]}


def tiny_retraining(checkpoint: Path, folder: Path) -> dict[str, Any]:
    """The fields of its recipe, to be changed at will."""
    registry = str(folder / "models")
    promote(checkpoint, registry, progress=False)
    generation = tiny_generation(
        Path(f"registry:{registry}"),
        scenes=(2, 2, 2),
        unit_size=2,
        train={"steps": 1},
        gate={"rules": [{"metric": "phrase_recall@1", "must": "exceed", "margin": 0.99}], "resamples": 100},
        registry=registry,
        truth=None,
    ).model_dump(mode="json", exclude_unset=True)
    return {"generation": generation, "runs": str(folder / "runs"), "policy": {"new_pairs": 2, "phrase_growth": 50}}


def let_pass(fields: dict[str, Any]) -> None:
    """A gate that every student passes."""
    fields["generation"]["gate"]["rules"][0]["margin"] = 0


def recipe_of(fields: dict[str, Any], **changed: Any) -> RetrainRecipe:
    return RetrainRecipe.model_validate({**fields, **changed})


def call(recipe: RetrainRecipe, **options: Any) -> Any:
    return retrain(recipe, backend="inline", progress=options.pop("progress", False), **options)
