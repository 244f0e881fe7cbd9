"""One generation end to end, tiny: every artefact is there, names its parents, and is not made twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tiny_generations import tiny_generation

from pipelines.generation import GenerationSummary, generation
from pipelines.generations import generations
from pipelines.lineage.nodes import LINEAGE
from pipelines.verify import verify
from schemas.recipes import GenerationRecipe
from schemas.reports import Lineage, PseudoLabelReport
from teacher.grounder import teacher_digest


@pytest.fixture
def recipe(random_checkpoint: Path) -> GenerationRecipe:
    gate = {"rules": [{"metric": "phrase_recall@1", "must": "exceed", "margin": 0.99}]}
    return tiny_generation(random_checkpoint, scenes=(6, 4, 4), unit_size=3, train={"steps": 2}, gate=gate)


def run(recipe: GenerationRecipe, out: str | Path) -> GenerationSummary:
    return generation(recipe, out, backend="inline", progress=False)


def test_a_generation_ends_in_a_page_a_decision_and_a_lineage_without_gaps(
    recipe: GenerationRecipe, tmp_path: Path
) -> None:
    summary = run(recipe, tmp_path)

    assert summary.pseudo_samples == 6
    assert not summary.decision.promote, "a random student does not reach 99 % recall"
    assert Path(summary.page).read_text().startswith("<!doctype html>")
    assert verify(tmp_path / "pseudo", progress=False).problems == []
    lineage = Lineage.model_validate_json((tmp_path / LINEAGE).read_bytes())
    known = {node.digest for node in lineage.nodes}
    assert all(parent in known for node in lineage.nodes for parent in node.parents)
    student = next(node for node in lineage.nodes if node.kind == "checkpoint" and node.path == summary.student)
    parents = {node.path for node in lineage.nodes if node.digest in student.parents}
    assert {"pseudo", "gold/human"} <= parents, "a student is made of human data, pseudo-labels and its teacher"
    assert "gold/held-out" not in parents, "what decides is never trained on"
    names = {metric["name"] for metric in _metrics(tmp_path / "evaluation" / "student" / "evaluation.json")}
    assert any(name.startswith("phrase_recall@1:") for name in names), "the gate may ask for what is rare"


def test_a_url_is_no_folder_of_a_generation(recipe: GenerationRecipe) -> None:
    for work in (lambda out: run(recipe, out), lambda out: generations(recipe, out, 2, backend="inline")):
        with pytest.raises(ValueError, match="on this machine or a mounted file system, not 's3://bucket/run'"):
            work("s3://bucket/run")


def _metrics(evaluation: Path) -> list[dict[str, Any]]:
    return [metric for report in json.loads(evaluation.read_text())["reports"] for metric in report["metrics"]]


def test_a_calibrated_selection_is_applied_judged_and_in_the_lineage(
    recipe: GenerationRecipe, tmp_path: Path, write_calibration: Any
) -> None:
    file, teacher = tmp_path / "calibration.json", teacher_digest(recipe.label.teacher)
    write_calibration(file, teacher, {"unseen/medium": [(0.5, 0.001)]})
    selection = {"preset": "calibrated", "calibration": str(file), "precision": 0.5}
    run(recipe.model_copy(update={"selection": selection}), tmp_path / "out")

    lineage = Lineage.model_validate_json((tmp_path / "out" / LINEAGE).read_bytes())
    known = {node.digest: node for node in lineage.nodes}
    assert all(parent in known for node in lineage.nodes for parent in node.parents)
    node = next(node for node in lineage.nodes if node.kind == "calibration")
    assert node.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert {known[parent].kind for parent in node.parents} == {"checkpoint", "dataset"}
    student = next(node for node in lineage.nodes if node.kind == "checkpoint" and node.made_by.endswith("train"))
    assert node.digest in student.parents
    quality = PseudoLabelReport.model_validate_json((tmp_path / "out/pseudo_quality.json").read_bytes())
    boxes = {one.selection: one.boxes for one in quality.presets}
    assert 0 < boxes["calibrated 50%"] < boxes["all"]  # large boxes are out of reach


def test_a_calibration_of_another_teacher_is_refused_before_any_work(
    recipe: GenerationRecipe, tmp_path: Path, write_calibration: Any
) -> None:
    write_calibration(tmp_path / "calibration.json", "another", {"head/large": [(0.5, 0.2)]})
    selection = {"preset": "calibrated", "calibration": str(tmp_path / "calibration.json")}
    with pytest.raises(ValueError, match="calibrate the teacher that labels"):
        run(recipe.model_copy(update={"selection": selection}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_second_run_of_a_generation_makes_nothing_anew(recipe: GenerationRecipe, tmp_path: Path) -> None:
    first = run(recipe, tmp_path)
    kept = ("pseudo/shards/000000.tar", "student/model/model.safetensors", "evaluation/student/evaluation.json")
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in (*kept[:1], kept[2])}
    weights = (tmp_path / kept[1]).read_bytes()

    assert run(recipe, tmp_path) == first
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in times} == times
    assert (tmp_path / kept[1]).read_bytes() == weights


def test_a_folder_of_another_generation_is_refused(recipe: GenerationRecipe, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({"name": "other"}))
    with pytest.raises(ValueError, match="another recipe"):
        run(recipe, tmp_path)


def test_without_truth_nothing_is_judged(recipe: GenerationRecipe, tmp_path: Path) -> None:
    run(recipe.model_copy(update={"truth": None}), tmp_path)
    assert not (tmp_path / "pseudo_quality.json").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, while its training is imported
def test_several_processes_train_where_the_recipe_says_so_and_one_may_go_on(
    recipe: GenerationRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from student import distributed

    asked, work = [], distributed.run_distributed
    monkeypatch.setattr(
        distributed, "run_distributed", lambda *given, **how: asked.append(how["workers"]) or work(*given, **how)
    )
    summary = run(recipe.model_copy(update={"train_workers": 2}), tmp_path)
    assert asked == [2]
    assert run(recipe, tmp_path) == summary


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"truth": {"format": "scenes"}, "label": {"source": {"kind": "webdataset", "uri": "x"}}}, "scenes"),
        ({"gold_weights": {"nobody": 2}}, "nobody"),
        ({"evaluation": [{"name": "human", "format": "coco", "path": "x"}]}, "different names"),
        ({"gold": [{"name": "human", "format": "coco"}]}, "path"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_before_any_work(
    recipe: GenerationRecipe, wrong: dict[str, object], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        GenerationRecipe.model_validate({**recipe.model_dump(), **wrong})
