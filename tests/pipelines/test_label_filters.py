"""Filters and the guard against evaluation pictures, through the whole job: rejected early and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from labelled_datasets import checksums, label_inline
from repeated_pictures import exam_source, repeating_recipe
from stored_samples import samples_in

from engine.artifacts import Store
from engine.gold import import_gold
from engine.shards import read_manifest
from engine.statistics import dataset_report
from pipelines.label import print_result
from pipelines.report import report
from pipelines.verify import verify
from schemas.recipes import FiltersRecipe, LabelRecipe, ScenesSource, TeacherRecipe, WebDatasetSource


@pytest.fixture
def recipe(web: Any, tmp_path: Path, random_checkpoint: Path) -> LabelRecipe:
    return repeating_recipe(web, tmp_path / "web", random_checkpoint)


# ------------------------------------------------------------------------------------------------------------- leaks


@pytest.fixture
def exam(tmp_path: Path, recipe: LabelRecipe, web: Any) -> Path:
    """A dataset to be evaluated on."""
    source = exam_source(web, tmp_path / "exam-web")
    label_inline(recipe.model_copy(update={"source": source}), tmp_path / "exam")
    return tmp_path / "exam"


def guarded(recipe: LabelRecipe, *exams: Path | str) -> LabelRecipe:
    return recipe.model_copy(update={"leaks": tuple(map(str, exams))})


def test_pictures_of_an_evaluation_set_are_rejected_before_the_teacher(
    recipe: LabelRecipe, exam: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = label_inline(guarded(recipe, exam), out)
    # p0, same and told are near e0; p1 is e1, and near is a smaller file of it
    assert result.rejects == {"leak": 1, "leak_near": 4}
    assert [stage.stage for stage in result.stages][:3] == ["read", "filter", "phrases"]
    assert (result.stages[1].came_in, result.stages[1].went_on) == (6, 1)
    rejects = [row for path in sorted((out / "rejects").iterdir()) for row in pq.read_table(path).to_pylist()]
    assert {row["key"]: row["reason"] for row in rejects}["p1"] == "leak"
    assert all("exam/e" in row["message"] for row in rejects)
    assert verify(out, progress=False).problems == []
    assert dataset_report(out).number("leaks") == 5


def test_the_guard_is_part_of_the_work_and_where_its_datasets_lie_is_not(
    web: Any, recipe: LabelRecipe, exam: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with_guard = guarded(recipe, exam)
    label_inline(with_guard, out)
    (tmp_path / "elsewhere").mkdir()
    exam.rename(tmp_path / "elsewhere/exam")
    moved = guarded(recipe, tmp_path / "elsewhere/exam")
    assert label_inline(moved, out).new_units == 0
    with pytest.raises(ValueError, match="pictures of `leaks` are not what they were"):
        label_inline(recipe, out)
    with pytest.raises(ValueError, match="max_leak_distance"):
        label_inline(moved.model_copy(update={"max_leak_distance": 2}), out)
    web.tar_of(tmp_path / "exam-web/1.tar", web.samples(1, first=9))
    grown = recipe.model_copy(update={"source": WebDatasetSource(uri=str(tmp_path / "exam-web"))})
    label_inline(grown, tmp_path / "elsewhere/exam", relabel=True)
    with pytest.raises(ValueError, match="pictures of `leaks` are not what they were"):
        label_inline(moved, out)


def test_human_data_guards_too(tmp_path: Path, random_checkpoint: Path) -> None:
    import_gold("scenes", ScenesSource(count=3, first_index=2), tmp_path / "human")
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", batch_size=2)
    recipe = LabelRecipe(source=ScenesSource(count=6), teacher=teacher, leaks=(str(tmp_path / "human"),))
    result = label_inline(recipe, tmp_path / "out")
    assert result.rejects["leak"] == 3
    assert "leak_near" not in result.rejects


def test_a_guard_with_holes_is_refused_before_any_work(recipe: LabelRecipe, exam: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a dataset"):
        label_inline(guarded(recipe, tmp_path / "nothing"), tmp_path / "out")
    card = json.loads((exam / "dataset.json").read_text())
    (exam / "dataset.json").write_text(json.dumps({**card, "complete": False}))
    with pytest.raises(ValueError, match=r"leaks: .* is not complete"):
        label_inline(guarded(recipe, exam), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_evaluation_set_on_an_object_store_guards_as_one_in_a_folder(
    recipe: LabelRecipe, exam: Path, tmp_path: Path, s3_bucket: str
) -> None:
    import s3fs

    s3fs.S3FileSystem().put(str(exam), f"{s3_bucket}/sets/exam", recursive=True)
    for out, guard in ((tmp_path / "out", exam), (f"{s3_bucket}/out", f"{s3_bucket}/sets/exam/")):
        assert label_inline(guarded(recipe, guard), out).rejects == {"leak": 1, "leak_near": 4}
    ours, theirs = checksums(tmp_path / "out"), checksums(f"{s3_bucket}/out")
    assert ours.pop("dataset.json") != theirs.pop("dataset.json")  # the card tells where the exam lies
    assert theirs == ours


# ----------------------------------------------------------------------------------------------------------- filters


def test_filters_are_stages_with_reasons_of_their_own_and_everything_adds_up(
    recipe: LabelRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filters = FiltersRecipe(min_caption_words=3, min_image_side=80, stop_phrases=("cats",))
    result = label_inline(recipe.model_copy(update={"filters": filters}), tmp_path / "out")
    assert result.rejects == {"image_side_below_min": 1, "caption_words_below_min": 1}
    stages = {stage.stage: stage for stage in result.stages}
    assert list(stages)[:4] == ["read", "filter", "phrases", "filter_phrases"]
    assert stages["filter_phrases"].phrases_left_out == 4
    print_result(result)
    assert "on   4 phrases on the stop list\n" in capsys.readouterr().out
    for before, after in zip(result.stages, result.stages[1:], strict=False):
        assert after.came_in == before.went_on
    assert {phrase.text for one in samples_in(tmp_path / "out") for phrase in one.labels.phrases} == {"A brown dog"}
    assert verify(tmp_path / "out", progress=False).problems == []
    page = Path(report([tmp_path / "out"], tmp_path / "report")).read_text()
    assert "caption words below min" in page
    assert "phrases left out of samples that went on" in page


def test_filters_that_are_off_change_neither_stages_nor_digest(recipe: LabelRecipe, tmp_path: Path) -> None:
    label_inline(recipe, tmp_path / "out")
    again_recipe = recipe.model_copy(update={"filters": FiltersRecipe(), "leaks": ()})
    assert label_inline(again_recipe, tmp_path / "out").new_units == 0
    manifest = read_manifest(Store(tmp_path / "out"), 0)
    assert manifest is not None
    assert [stage.stage for stage in manifest.stages][:3] == ["read", "phrases", "identify"]
    with pytest.raises(ValueError, match=r"filters\.min_image_side"):
        label_inline(recipe.model_copy(update={"filters": FiltersRecipe(min_image_side=9)}), tmp_path / "out")
