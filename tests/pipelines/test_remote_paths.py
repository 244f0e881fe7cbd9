"""Paths of an object store, job by job: they work, or are refused before any work; never is one taken for a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oracle_datasets import sample, write_dataset

from engine.gold import import_gold
from pipelines.calibrate import calibrate
from pipelines.convert import convert
from pipelines.few_shot import few_shot
from pipelines.registry import promote
from pipelines.report import report
from schemas.few_shot_recipes import FewShotRecipe
from schemas.recipes import CalibrateRecipe, ScenesSource, TeacherRecipe

NOWHERE = "s3://nobody/out"


@pytest.fixture
def human(s3_bucket: str) -> str:
    import_gold("scenes", ScenesSource(count=2, seed=2), f"{s3_bucket}/human")
    return f"{s3_bucket}/human"


def test_a_model_in_a_bucket_is_refused_with_the_way_to_use_it(s3_bucket: str) -> None:
    _is_refused(lambda: promote(f"{s3_bucket}/model", f"{s3_bucket}/models", progress=False))
    _is_refused(lambda: convert(f"{s3_bucket}/model", "out"))


def _is_refused(work: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"checkpoint s3://bucket/model: .* give registry:URI"):
        work()


def test_a_version_of_a_registry_becomes_a_folder_again(
    random_checkpoint: Path, s3_bucket: str, tmp_path: Path
) -> None:
    promote(random_checkpoint, f"{s3_bucket}/models", progress=False)
    assert (
        convert(f"registry:{s3_bucket}/models", tmp_path / "out").digest
        == convert(random_checkpoint, tmp_path / "same").digest
    )


def test_what_is_written_last_is_tried_first(
    random_checkpoint: Path, human: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bucket of that name: hours of answers, or of counting, would have nowhere to go."""

    def hours(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr("pipelines.calibrate.answer_all", hours)
    monkeypatch.setattr("pipelines.report.statistics_of", hours)
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu")
    with pytest.raises(ValueError, match="make the bucket, or give another address"):
        calibrate(CalibrateRecipe(datasets=(human,), teacher=teacher), f"{NOWHERE}.json", progress=False)
    with pytest.raises(ValueError, match="make the bucket, or give another address"):
        report([human], NOWHERE)


def test_few_shot_looks_at_its_folder_and_its_data_before_any_cell(
    random_checkpoint: Path, human: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "boxes", [sample("1", "dog", {"dog": [(10.0, 10.0, 50.0, 50.0)]})], ["dog"])
    data = {"name": "x", "train": human, "test": str(tmp_path / "boxes")}
    recipe = FewShotRecipe.model_validate({"datasets": [data], "train": {"init": str(random_checkpoint)}})
    with pytest.raises(ValueError, match="shots are drawn from complete human detection data"):
        few_shot(recipe, tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match="wanted a path on this machine"):
        few_shot(recipe, "s3://bucket/out", progress=False)
    assert {path.name for path in tmp_path.iterdir()} <= {"boxes", "checkpoint0"}
