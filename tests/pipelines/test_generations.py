"""Generations in a row, and which weights of a training are the student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_generations import tiny_generation

from glip.checkpoint import load_model
from pipelines.generation import generation
from pipelines.generations import generations
from pipelines.lineage.tree import lineage
from pipelines.models.candidate_weights import candidate_model
from pipelines.registry import history, promote
from schemas.recipes import GenerationRecipe


def recipe_of(checkpoint: Path | str, margin: float = 0.0, **fields: Any) -> GenerationRecipe:
    gate = {"rules": [{"metric": "phrase_recall@1", "must": "exceed", "margin": margin}], "resamples": 100}
    small: dict[str, Any] = {"scenes": (2, 2, 2), "unit_size": 2, "train": {"steps": 2}, "truth": None}
    return tiny_generation(checkpoint, gate=gate, **small, **fields)


def run(recipe: GenerationRecipe, out: Path, count: int) -> Any:
    return generations(recipe, out, count, backend="inline", progress=False)


def test_the_promoted_student_teaches_the_next_and_the_registry_follows(
    random_checkpoint: Path, tmp_path: Path
) -> None:
    registry = str(tmp_path / "models")
    promote(random_checkpoint, registry, progress=False)
    recipe = recipe_of(f"registry:{registry}", registry=registry)
    series = run(recipe, tmp_path / "series", 2)

    assert [one.promoted for one in series.generations] == [f"registry:{registry}@{number}" for number in (2, 3)]
    first, second = (one.decision for one in series.generations)
    assert second.incumbent_digest == first.candidate_digest, "the second is compared with the first's student"
    assert [entry.version for entry in history(registry, progress=False).entries] == [1, 2, 3]
    nodes = lineage(str(tmp_path / "series" / "generation-2"), progress=False).nodes
    student = next(node for node in nodes if node.path == series.generations[1].student)
    assert first.candidate_digest in student.parents
    assert run(recipe, tmp_path / "series", 2) == series, "a series that is done is not done again"


def test_a_series_ends_with_a_student_that_is_refused(random_checkpoint: Path, tmp_path: Path) -> None:
    series = run(recipe_of(random_checkpoint, margin=0.99), tmp_path, 3)
    assert len(series.generations) == 1
    assert series.stopped == "the student of generation 1 was not promoted, so the next would repeat it"
    assert not (tmp_path / "generation-2").exists()


def test_an_ensemble_has_no_place_for_a_student(tmp_path: Path) -> None:
    recipe = recipe_of("nano")
    teacher = recipe.label.teacher.model_copy(update={"grounder": "owlv2"})
    other = recipe.model_copy(update={"label": recipe.label.model_copy(update={"teacher": teacher})})
    with pytest.raises(ValueError, match="one glip checkpoint"):
        run(other, tmp_path, 2)


def test_the_student_is_the_moving_average_the_last_weights_or_halfway_to_the_teacher(
    random_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(random_checkpoint, candidate="averaged")
    summary = generation(recipe, tmp_path, backend="inline", progress=False)
    assert summary.student == str(tmp_path / "student" / "averaged")
    trained = str(tmp_path / "student" / "model")
    raw = candidate_model(tmp_path / "student", trained, "raw", str(random_checkpoint))
    assert candidate_model(tmp_path / "student", trained, "ema", str(random_checkpoint)) == trained
    weights = {
        name: load_model(path).model.state_dict()
        for name, path in (
            ("teacher", str(random_checkpoint)),
            ("ema", trained),
            ("raw", raw),
            ("half", summary.student),
        )
    }
    key = next(name for name, value in weights["ema"].items() if not torch.equal(value, weights["teacher"][name]))
    assert torch.allclose(weights["half"][key], (weights["ema"][key] + weights["teacher"][key]) / 2)
    assert not torch.equal(weights["raw"][key], weights["ema"][key])
    result = promote(tmp_path, tmp_path / "models", progress=False)
    assert load_model(summary.student).digest in (result.entry.model_digest,)


def test_a_mean_with_random_weights_or_another_shape_is_refused(random_checkpoint: Path, tmp_path: Path) -> None:
    for init, said in (("random:nano", "began from"), ("nano", "another shape")):
        with pytest.raises(ValueError, match=said):
            candidate_model(tmp_path, str(random_checkpoint), "averaged", init)
    with pytest.raises(ValueError, match="no weights of a run"):
        candidate_model(tmp_path, str(random_checkpoint), "raw", "nano")
