"""Duplicates of a labelled dataset are left out by whoever reads it; its shards stay as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from labelled_datasets import checksums, label_inline
from repeated_pictures import repeating_recipe

from engine.duplicates import DUPLICATES
from engine.gold import import_gold
from engine.mix import Mix
from engine.statistics import dataset_report
from pipelines.cli import main
from pipelines.dedupe import dedupe
from pipelines.pages.gallery import gallery
from pipelines.report import report
from pipelines.verify import verify
from schemas.recipes import LabelRecipe, MixEntry, ScenesSource


@pytest.fixture
def recipe(web: Any, tmp_path: Path, random_checkpoint: Path) -> LabelRecipe:
    return repeating_recipe(web, tmp_path / "web", random_checkpoint)


def mixed_keys(dataset: Path | str) -> list[str]:
    mix = Mix.open([MixEntry(dataset=str(dataset))], 0)
    try:
        return sorted(mix.labels(ref).key for ref in mix.datasets[0].refs)
    finally:
        mix.close()


def test_readers_leave_duplicates_out_and_the_shards_stay_as_they_are(recipe: LabelRecipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    label_inline(recipe, out)
    before, fingerprint = checksums(out), Mix.open([MixEntry(dataset=str(out))], 0).fingerprint
    assert len(mixed_keys(out)) == 6
    result = dedupe(out, progress=False)
    assert (result.samples, result.kept) == (6, 3)
    assert result.duplicates == {"duplicate_exact": 2, "duplicate_near": 1}
    after = checksums(out)
    assert after.pop(DUPLICATES)
    assert after == before
    assert mixed_keys(out) == ["p0", "p1", "p2"]
    assert Mix.open([MixEntry(dataset=str(out))], 0).fingerprint != fingerprint
    assert {picture.key for picture in gallery(out, None, limit=6).pictures} == {"p0", "p1", "p2"}
    assert verify(out, progress=False).problems == []
    (out / DUPLICATES).unlink()
    assert len(mixed_keys(out)) == 6
    assert Mix.open([MixEntry(dataset=str(out))], 0).fingerprint == fingerprint


def test_the_report_counts_duplicates_and_everything_adds_up(recipe: LabelRecipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    label_inline(recipe, out)
    assert "duplicate_exact" not in {number.name for number in dataset_report(out).numbers}, "nobody has looked"
    dedupe(out, progress=False)
    found = dataset_report(out)
    assert (found.number("duplicate_exact"), found.number("duplicate_near"), found.number("images")) == (2, 1, 3)
    stages = {stage.stage: stage for stage in found.stages}
    assert (stages["dedupe"].came_in, stages["dedupe"].went_on) == (6, 3)
    assert (stages["selection"].came_in, stages["selection"].went_on) == (3, 3)
    boxes = found.box_selection
    assert boxes is not None
    assert boxes.dropped["sample_duplicate"] == boxes.came_in - boxes.went_on > 0
    page = Path(report([out], tmp_path / "report")).read_text()
    assert "Near duplicates" in page
    assert "duplicate exact" in page


def test_by_pair_another_caption_of_a_picture_stays(recipe: LabelRecipe, tmp_path: Path) -> None:
    label_inline(recipe, tmp_path / "out")
    dedupe(tmp_path / "out", by="pair", progress=False)
    assert mixed_keys(tmp_path / "out") == ["p0", "p1", "p2", "told"]


def test_a_dataset_that_has_changed_since_is_refused_by_every_reader(
    web: Any, recipe: LabelRecipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    label_inline(recipe, out)
    dedupe(out, progress=False)
    web.tar_of(tmp_path / "web/2.tar", web.samples(1, first=9))
    label_inline(recipe, out, relabel=True)
    for read in (mixed_keys, dataset_report):
        with pytest.raises(ValueError, match="run `glip-engine dedupe"):
            read(out)
    assert any("other shards" in problem for problem in verify(out, progress=False).problems)
    dedupe(out, progress=False)
    assert len(mixed_keys(out)) == 4


def test_after_a_relabelling_duplicates_are_to_be_found_anew_before_anything_is_read(
    recipe: LabelRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, model = str(tmp_path / "out"), f"teacher.checkpoint={recipe.teacher.checkpoint}"
    label_inline(recipe, Path(out))
    dedupe(out, progress=False)
    again = ["label", str(tmp_path / "web"), "--out", out, "--inline", "--relabel", "--set", model]
    assert main([*again, "--set", "phrases.expressions=true", "--set", "unit_size=3"]) == 0
    assert capsys.readouterr().out.endswith(f"next: glip-engine dedupe {out}\n")
    assert main(["dedupe", out]) == 0
    assert main([*again, "--set", "phrases.expressions=true", "--set", "unit_size=3"]) == 0
    assert capsys.readouterr().out.endswith(f"next: glip-engine report {out} --out {out}-report\n")


def test_the_command_line_finds_duplicates_and_says_what_is_wrong(
    recipe: LabelRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label_inline(recipe, tmp_path / "out")
    assert main(["dedupe", str(tmp_path / "out"), "--json", "--distance", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["duplicates"]["duplicate_exact"] == 2
    assert main(["dedupe", str(tmp_path / "out")]) == 0
    told = "6 samples, 2 exact and 1 near duplicates left out, 3 stay\n"
    assert capsys.readouterr().out.endswith(told), "a blank picture would be told of"
    assert main(["dedupe", str(tmp_path / "out"), "--distance", "40"]) == 2
    assert "wanted 0 to 12" in capsys.readouterr().err
    assert main(["dedupe", str(tmp_path / "none")]) == 2
    assert "is not a dataset" in capsys.readouterr().err


def test_human_data_is_not_deduplicated(tmp_path: Path) -> None:
    import_gold("scenes", ScenesSource(count=2), tmp_path / "human")
    with pytest.raises(ValueError, match="human data"):
        dedupe(tmp_path / "human", progress=False)


def test_an_object_store_has_the_view_that_a_folder_has(recipe: LabelRecipe, tmp_path: Path, s3_bucket: str) -> None:
    for out in (tmp_path / "out", f"{s3_bucket}/sets/out"):
        label_inline(recipe, out)
        dedupe(out, progress=False)
    assert checksums(f"{s3_bucket}/sets/out") == checksums(tmp_path / "out")
    assert mixed_keys(f"{s3_bucket}/sets/out") == ["p0", "p1", "p2"]
    assert dataset_report(f"{s3_bucket}/sets/out").number("duplicate_near") == 1
    assert verify(f"{s3_bucket}/sets/out", progress=False).problems == []
