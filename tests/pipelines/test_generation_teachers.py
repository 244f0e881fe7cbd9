"""Teachers that a student is no copy of: an ensemble, a file with a digest, one that is examined in another size. The
student is what is judged as the student."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_generations import tiny_generation

from glip.model_folder import WEIGHTS_FILE, read_description
from pipelines.generation import GenerationSummary, generation
from schemas.recipes import GenerationRecipe, TeacherRecipe
from teacher.grounder import teacher_digest

GATE = {"rules": [{"metric": "phrase_recall@1", "must": "exceed", "margin": 0.0}], "resamples": 100}


def run(checkpoint: Path, out: Path, *, teacher: dict[str, Any], **fields: Any) -> GenerationSummary:
    recipe = tiny_generation(checkpoint, scenes=(2, 2, 2), unit_size=2, train=fields.pop("train", {"steps": 1}))
    plain = recipe.model_dump(mode="json", exclude_unset=True) | {"truth": None, "gate": GATE, **fields}
    plain["label"]["teacher"] = teacher
    return generation(GenerationRecipe.model_validate(plain), out, backend="inline", progress=False)


def ensemble_of(checkpoint: Path) -> dict[str, Any]:
    member = {"grounder": "glip", "checkpoint": str(checkpoint)}
    return {"grounder": "ensemble", "members": [member, {**member, "min_size": 64}]}


def test_the_student_of_an_ensemble_is_judged_and_not_the_ensemble_again(
    random_checkpoint: Path, tmp_path: Path
) -> None:
    summary = run(
        random_checkpoint,
        tmp_path,
        teacher=ensemble_of(random_checkpoint),
        train={"steps": 1, "init": str(random_checkpoint)},
    )
    assert summary.decision.incumbent_digest == teacher_digest(
        TeacherRecipe.model_validate(ensemble_of(random_checkpoint))
    )
    assert summary.decision.candidate_digest == teacher_digest(TeacherRecipe(checkpoint=summary.student))


def test_a_student_begins_from_no_weights_that_the_recipe_does_not_name(
    random_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"train\.init"):
        run(random_checkpoint, tmp_path / "out", teacher=ensemble_of(random_checkpoint))
    assert not (tmp_path / "out").exists()


def test_the_digest_of_the_teachers_file_is_not_asked_of_the_students(random_checkpoint: Path, tmp_path: Path) -> None:
    digest = read_description(random_checkpoint)["sha256"][WEIGHTS_FILE]
    teacher = {"checkpoint": str(random_checkpoint), "checkpoint_sha256": digest}
    assert run(random_checkpoint, tmp_path, teacher=teacher).decision.promote


def test_a_way_to_examine_is_no_other_teacher(random_checkpoint: Path, tmp_path: Path) -> None:
    run(
        random_checkpoint,
        tmp_path,
        teacher={"checkpoint": str(random_checkpoint)},
        evaluate={"teacher": {"min_size": 64}},
    )
    for who, checkpoint in (("teacher", random_checkpoint), ("student", tmp_path / "student" / "model")):
        asked = json.loads((tmp_path / "evaluation" / who / "evaluation.json").read_text())["recipe"]["teacher"]
        assert (asked["checkpoint"], asked["min_size"]) == (str(checkpoint), 64)


@pytest.mark.parametrize("how", [{"checkpoint": "nano"}, "nano"])
def test_the_gate_has_no_other_incumbent_than_the_teacher(random_checkpoint: Path, tmp_path: Path, how: object) -> None:
    with pytest.raises(ValueError, match=r"compared with label\.teacher"):
        run(random_checkpoint, tmp_path, teacher={"checkpoint": str(random_checkpoint)}, evaluate={"teacher": how})


def test_a_mean_with_no_checkpoint_is_refused_before_any_work(random_checkpoint: Path, tmp_path: Path) -> None:
    train = {"steps": 1, "init": "random:nano", "tokenizer": str(random_checkpoint / "tokenizer.json")}
    teacher = {"checkpoint": str(random_checkpoint)}
    with pytest.raises(ValueError, match="a mean with the checkpoint"):
        run(random_checkpoint, tmp_path / "out", teacher=teacher, train=train, candidate="averaged")
    assert not (tmp_path / "out").exists()
