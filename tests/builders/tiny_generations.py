"""A generation on a few scenes with a random teacher, which takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas.recipes import GenerationRecipe


def tiny_generation(
    checkpoint: Path | str, *, scenes: tuple[int, int, int], unit_size: int, train: dict[str, Any], **fields: Any
) -> GenerationRecipe:
    """``scenes``: how many are labelled, learned from, and examined on."""
    labelled, human, held_out = (
        {"kind": "scenes", "seed": seed, "count": count} for seed, count in enumerate(scenes, start=1)
    )
    teacher = {"checkpoint": str(checkpoint)}
    small = {"batch_size": 2, "loader_threads": 0, "min_sizes": [64], "max_size": 96}
    return GenerationRecipe.model_validate(
        {
            "name": "tiny",
            "label": {"source": labelled, "teacher": teacher, "min_score": 0.001, "unit_size": unit_size},
            "gold": [{"name": "human", "format": "scenes", "scenes": human}],
            "evaluation": [{"name": "held-out", "format": "scenes", "scenes": held_out}],
            "truth": {"format": "scenes"},
            "selection": "all",
            "gate": {"rules": [{"metric": "phrase_recall@1", "must": "improve"}]},
            "train": {**small, **train},
            **fields,
        }
    )
