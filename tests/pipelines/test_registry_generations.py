"""Generations that teach each other through a registry: what they promote, and the lineage that goes through them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_generations import tiny_generation

from engine.registry import Registry
from pipelines.cli import main
from pipelines.generation import generation
from pipelines.lineage.tree import lineage, tops
from pipelines.registry import promote
from schemas.recipes import GenerationRecipe
from schemas.reports import LineageNode


def generation_recipe(name: str, teacher: str, registry: Path, margin: float = 0.0) -> GenerationRecipe:
    gate = {"rules": [{"metric": "phrase_recall@1", "must": "exceed", "margin": margin}], "resamples": 100}
    small: dict[str, Any] = {"scenes": (2, 2, 2), "unit_size": 2, "train": {"steps": 1, "seed": 7}, "truth": None}
    return tiny_generation(teacher, gate=gate, name=name, registry=str(registry), **small)


def tree_of(nodes: list[LineageNode]) -> dict[str, set[str]]:
    """Which paths are made from which, by path."""
    paths = {node.digest: node.path for node in nodes}
    return {node.path: {paths[parent] for parent in node.parents} for node in nodes}


def test_two_generations_in_a_row_promote_their_students_and_the_lineage_goes_through_both(
    tmp_path: Path, random_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, current = tmp_path / "registry", f"registry:{tmp_path}/registry"
    promote(random_checkpoint, uri, progress=False)
    first = generation(generation_recipe("g1", current, uri), tmp_path / "g1", backend="inline", progress=False)
    assert first.promoted == f"{current}@2"
    again = generation(generation_recipe("g1", current, uri), tmp_path / "g1", backend="inline", progress=False)
    assert again == first, "resumed after its student became current, it is done"
    second = generation(generation_recipe("g2", current, uri), tmp_path / "g2", backend="inline", progress=False)
    assert second.promoted == f"{current}@3"

    nodes = lineage(second.promoted, progress=False).nodes
    made_from = tree_of(nodes)
    assert [node.path for node in tops(nodes)] == [f"{current}@3"]
    assert made_from["g2/pseudo"] >= {f"{current}@2"}, "the teacher of the second is the student of the first"
    assert "g1/pseudo" in made_from[f"{current}@2"]
    student = str(tmp_path / "g2/student/model")
    assert made_from[f"{current}@3"] == {student, "g2/decision.json"}
    assert made_from[student] >= {"g2/pseudo", "g2/gold/human", f"{current}@2"}
    sources = [node for node in nodes if node.kind == "source"]
    assert {seed for node in sources for seed in node.seeds.values()} == {1, 2, 3}
    assert all(node.slices for node in sources)
    assert {"train": 7} in [node.seeds for node in nodes]
    assert all(node.recipe_digest and "glip-engine" in node.made_by for node in nodes if node.kind == "dataset")

    of_second = lineage(str(tmp_path / "g2"), progress=False).nodes
    assert [node.path for node in tops(of_second)] == ["report/report.json"], "nothing of the first but the teacher"
    assert main(["lineage", str(tmp_path / "g2")]) == 0
    printed = capsys.readouterr().out
    assert "rows 0 to 1" in printed
    assert "train seed 7" in printed
    assert "(above)" in printed

    with pytest.raises(ValueError, match=r"version 3 is current .* compared with another model"):
        generation(generation_recipe("g3", f"{current}@1", uri), tmp_path / "g3", backend="inline", progress=False)
    assert not (tmp_path / "g3").exists(), "told before any work"


def test_a_generation_that_the_gate_refuses_promotes_nothing(tmp_path: Path, random_checkpoint: Path) -> None:
    recipe = generation_recipe("no", str(random_checkpoint), tmp_path / "registry", margin=0.99)
    summary = generation(recipe, tmp_path / "no", backend="inline", progress=False)
    assert (summary.decision.promote, summary.promoted) == (False, None)
    with pytest.raises(ValueError, match="the gate says no"):
        promote(tmp_path / "no", tmp_path / "registry", progress=False)
    assert not (tmp_path / "registry" / "current.json").exists()
    forced = promote(tmp_path / "no", tmp_path / "registry", force="to try it", progress=False)
    there = Registry(tmp_path / "registry").version(forced.version)
    assert {"recipe.json", "decision.json", "evaluation.json", "lineage.json"} <= {file.name for file in there.files}


def test_lineage_of_what_has_none_says_what_was_wanted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no lineage: wanted the folder of a finished generation"):
        lineage(str(tmp_path), progress=False)
    (tmp_path / "lineage.json").write_text('{"nodes": [{"kind": 1}]}')
    with pytest.raises(ValueError, match="is not a lineage"):
        lineage(str(tmp_path), progress=False)
    circle = [{"kind": "x", "path": name, "digest": name, "parents": [other]} for name, other in ("ab", "ba")]
    (tmp_path / "lineage.json").write_text(json.dumps({"nodes": circle}))
    assert len(lineage(str(tmp_path)).nodes) == 2
