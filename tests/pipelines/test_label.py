"""The labelling job: everything counted, nothing twice, the same bytes however it is run, clear words for bad input."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from labelled_datasets import checksums, label_inline, tars_recipe, tars_with_rejects

from engine.artifacts import Store
from engine.runner import run
from engine.shards import read_card, read_manifest, read_shard
from pipelines.dedupe import dedupe
from pipelines.verify import verify
from schemas.recipes import LabelRecipe, ScenesSource, TeacherRecipe, WebDatasetSource
from schemas.shards import ShardManifest


@pytest.fixture
def source(web: Any, tmp_path: Path) -> Path:
    return tars_with_rejects(web, tmp_path / "web")


@pytest.fixture
def recipe(source: Path, random_checkpoint: Path) -> LabelRecipe:
    return tars_recipe(source, random_checkpoint, unit_size=4)


def test_every_sample_is_labelled_or_a_reject_with_its_reason(recipe: LabelRecipe, tmp_path: Path) -> None:
    result = label_inline(recipe, tmp_path / "out")
    assert (result.images, result.samples, result.units) == (12, 7, 4)
    assert result.rejects == {
        "member_name_unsafe": 1,
        "caption_empty": 1,
        "caption_too_long": 1,
        "no_phrase": 1,
        "image_unreadable": 1,
    }
    assert [stage.stage for stage in result.stages] == ["read", "phrases", "identify", "prompt", "ground", "select"]
    for before, after in zip(result.stages, result.stages[1:], strict=False):
        assert after.came_in == before.went_on
    assert verify(tmp_path / "out", progress=False).problems == []
    rejects = [row for path in (tmp_path / "out/rejects").iterdir() for row in pq.read_table(path).to_pylist()]
    assert {(row["key"], row["reason"]) for row in rejects} >= {
        ("../x.jpg", "member_name_unsafe"),
        ("long", "caption_too_long"),
    }


def test_a_labelled_sample_has_its_picture_untouched_and_low_boxes(
    web: Any, recipe: LabelRecipe, tmp_path: Path
) -> None:
    label_inline(recipe, tmp_path / "out")
    store = Store(tmp_path / "out")
    first = next(read_shard(store, 0))
    assert first.image == web.jpeg(0, 80, 64)
    assert first.labels.caption == "A brown dog and two cats."
    assert [phrase.text for phrase in first.labels.phrases] == ["A brown dog", "two cats"]
    assert min(box.score for box in first.labels.boxes) < 0.5
    card = read_card(store)
    assert (card.complete, card.units, card.samples, card.selection) == (True, 4, 7, "glip")
    assert first.labels.recipe_digest == card.recipe_digest
    assert first.labels.teacher_digest == card.teacher_digest


def test_a_second_run_does_nothing(recipe: LabelRecipe, tmp_path: Path) -> None:
    first = label_inline(recipe, tmp_path / "out")
    files = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (tmp_path / "out").rglob("*")}
    second = label_inline(recipe, tmp_path / "out", backend="ray")  # with nothing to do Ray is not even started
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (tmp_path / "out").rglob("*")} == files
    assert (first.new_units, second.new_units) == (4, 0)
    assert first.stages == second.stages


def test_images_per_second_are_of_the_work_and_not_of_its_start(
    recipe: LabelRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*work: Any, **how: Any) -> Iterator[ShardManifest]:
        time.sleep(1.5)  # as Ray takes
        yield from run(*work, **how)

    monkeypatch.setattr("pipelines.label.run", late)
    result = label_inline(recipe, tmp_path / "out")
    assert result.start_seconds is not None
    assert result.images_per_second is not None
    assert 1.4 < result.start_seconds < result.seconds
    assert result.images / result.images_per_second == pytest.approx(result.seconds - result.start_seconds, abs=0.15)
    again = label_inline(recipe, tmp_path / "out")
    assert (again.start_seconds, again.images_per_second) == (None, None)


def test_the_same_work_gives_the_same_bytes_elsewhere(recipe: LabelRecipe, tmp_path: Path) -> None:
    label_inline(recipe, tmp_path / "a")
    (tmp_path / "web").rename(tmp_path / "moved")
    label_inline(
        recipe.model_copy(update={"source": WebDatasetSource(uri=str(tmp_path / "moved/*.tar"))}), tmp_path / "b"
    )
    first, second = checksums(tmp_path / "a"), checksums(tmp_path / "b")
    assert first.pop("dataset.json") != second.pop("dataset.json")  # the card tells where the source was
    assert first == second


def test_ray_with_one_and_two_workers_gives_the_bytes_of_the_inline_run_and_finds_its_duplicates(
    web: Any, recipe: LabelRecipe, tmp_path: Path
) -> None:
    from engine.runner import connected
    from engine.running.layout import Workers

    web.tar_of(tmp_path / "web/2.tar", [("again.jpg", web.jpeg(0, 80, 64)), ("again.txt", b"A dog.")])
    label_inline(recipe, tmp_path / "inline")
    with connected(Workers(count=2)):
        for workers in (1, 2):
            label_inline(recipe, tmp_path / f"ray{workers}", backend="ray", workers=workers)
    for out in ("inline", "ray1", "ray2"):
        assert dedupe(tmp_path / out, progress=False).duplicates == {"duplicate_exact": 1, "duplicate_near": 0}
        assert verify(tmp_path / out, progress=False).problems == []
    assert checksums(tmp_path / "ray1") == checksums(tmp_path / "inline")
    assert checksums(tmp_path / "ray2") == checksums(tmp_path / "inline")


@pytest.mark.parametrize("damage", ["no manifest", "half a manifest", "other work", "no shard", "cut shard"])
def test_a_unit_that_is_not_whole_is_done_again_and_no_other(recipe: LabelRecipe, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "out"
    label_inline(recipe, out)
    before = checksums(out)
    manifest, shard = out / "manifests/000001.json", out / "shards/000001.tar"
    if damage == "no manifest":
        manifest.unlink()
    elif damage == "half a manifest":
        manifest.write_bytes(manifest.read_bytes()[:100])
    elif damage == "other work":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "work_digest": "other"}))
    elif damage == "no shard":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-512])
    (out / "shards/.writing-left-behind").write_bytes(b"half")
    assert label_inline(recipe, out).new_units == 1
    assert checksums(out) == before
    assert verify(out, progress=False).problems == []


def test_what_a_lost_worker_left_half_written_is_gone_when_the_job_ends(
    recipe: LabelRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losing_one(*arguments: Any, **options: Any) -> Iterator[ShardManifest]:
        for manifest in run(*arguments, **options):
            (tmp_path / "out/annotations/.writing-when-it-was-lost").write_bytes(b"half")
            yield manifest

    label_inline(recipe, tmp_path / "undisturbed")
    monkeypatch.setattr("pipelines.label.run", losing_one)
    label_inline(recipe, tmp_path / "out")
    assert checksums(tmp_path / "out") == checksums(tmp_path / "undisturbed")


def test_a_folder_of_other_work_is_refused_and_left_alone(recipe: LabelRecipe, tmp_path: Path, web: Any) -> None:
    out = tmp_path / "out"
    label_inline(recipe, out)
    before = checksums(out)
    with pytest.raises(ValueError, match=r"other work: min_score was 0\.05, is now 0\.1\. Give another --out"):
        label_inline(recipe.model_copy(update={"min_score": 0.1}), out)
    sized = recipe.teacher.model_copy(update={"max_size": 90})
    with pytest.raises(ValueError, match=r"teacher\.max_size was None, is now 90; the teacher was [0-9a-f]{12}"):
        label_inline(recipe.model_copy(update={"teacher": sized}), out)
    web.tar_of(tmp_path / "web/2.tar", web.samples(1, first=50))
    with pytest.raises(ValueError, match="the content of the source is not what it was"):
        label_inline(recipe, out)
    assert checksums(out) == before


def test_a_mistake_that_workers_found_can_be_mended_in_the_same_folder(
    recipe: LabelRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    mistaken = recipe.teacher.model_copy(update={"device": "cuda"})
    with pytest.raises(ValueError, match="this machine has no CUDA device"):
        label_inline(recipe.model_copy(update={"teacher": mistaken}), out)
    assert label_inline(recipe, out).new_units == 4
    assert verify(out, progress=False).problems == []
    label_inline(recipe, tmp_path / "new")
    assert checksums(out) == checksums(tmp_path / "new")


def test_another_selection_changes_the_card_and_labels_nothing_again(recipe: LabelRecipe, tmp_path: Path) -> None:
    label_inline(recipe, tmp_path / "out")
    result = label_inline(recipe.model_copy(update={"selection": "owl-st"}), tmp_path / "out")
    assert result.new_units == 0
    assert read_card(Store(tmp_path / "out")).selection == "owl-st"


def test_a_folder_with_other_things_in_it_is_refused(recipe: LabelRecipe, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/holiday.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="not empty and not a dataset"):
        label_inline(recipe, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["holiday.jpg"]


@pytest.mark.parametrize("given", ["photos", ScenesSource(count=2)], ids=str)
def test_what_is_no_recipe_is_told_with_what_is_wanted(given: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"wanted LabelRecipe\(source=.*, not .*(photos|ScenesSource)"):
        label_inline(given, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_jobs_on_one_folder_are_refused(recipe: LabelRecipe, tmp_path: Path) -> None:
    with Store(tmp_path / "out").locked(), pytest.raises(ValueError, match="written by another job"):
        label_inline(recipe, tmp_path / "out")


def test_a_truncated_tar_is_counted_and_the_job_goes_on(recipe: LabelRecipe, source: Path, tmp_path: Path) -> None:
    whole = (source / "0.tar").read_bytes()
    (source / "0.tar").write_bytes(whole[:6000])
    result = label_inline(recipe, tmp_path / "out")
    assert result.rejects["tar_broken"] == 1
    assert result.samples >= 3
    assert verify(tmp_path / "out", progress=False).problems == []


def test_a_job_whose_every_sample_is_dropped_is_a_whole_dataset(web: Any, recipe: LabelRecipe, tmp_path: Path) -> None:
    tar = web.tar_of(tmp_path / "bad.tar", [("a.jpg", b"noise"), ("a.txt", b"a dog")])
    result = label_inline(recipe.model_copy(update={"source": WebDatasetSource(uri=str(tar))}), tmp_path / "out")
    assert (result.samples, result.rejects) == (0, {"image_unreadable": 1})
    assert verify(tmp_path / "out", progress=False).problems == []


def test_drawn_scenes_are_labelled_too(recipe: LabelRecipe, tmp_path: Path) -> None:
    result = label_inline(recipe.model_copy(update={"source": ScenesSource(count=5)}), tmp_path / "out")
    assert result.samples + sum(result.rejects.values()) == 5
    assert result.samples > 0
    assert verify(tmp_path / "out", progress=False).problems == []


@pytest.mark.data
@pytest.mark.slow
def test_the_real_photos_are_labelled_whole(random_checkpoint: Path, data_folder: Path, tmp_path: Path) -> None:
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), batch_size=8)
    source = WebDatasetSource(uri=str(data_folder / "photos/web"))
    result = label_inline(LabelRecipe(source=source, teacher=teacher), tmp_path / "out")
    assert result.images == 714
    assert result.samples + sum(result.rejects.values()) == 714
    assert verify(tmp_path / "out", progress=False).problems == []
    assert read_manifest(Store(tmp_path / "out"), 0) is not None
