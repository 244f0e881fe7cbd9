"""Filters, leaks and duplicates through the whole job: rejected early and counted, or left out when read."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from engine.artifacts import Store
from engine.duplicates import DUPLICATES
from engine.gold import import_gold
from engine.mix import Mix
from engine.shards import committed_units, read_manifest, read_shard
from engine.statistics import dataset_report
from pipelines.cli import main
from pipelines.dedupe import dedupe
from pipelines.gallery import gallery
from pipelines.label import label
from pipelines.report import report
from pipelines.verify import verify
from schemas.recipes import FiltersRecipe, LabelRecipe, MixEntry, ScenesSource, TeacherRecipe, WebDatasetSource

CAPTION = b"A brown dog and two cats."


def again(content: bytes, quality: int = 50) -> bytes:
    """Another file of the same picture, half as large."""
    image = Image.open(io.BytesIO(content))
    file = io.BytesIO()
    image.resize((image.width // 2, image.height // 2)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def members(*samples: tuple[str, bytes, bytes]) -> list[tuple[str, bytes]]:
    return [one for key, image, text in samples for one in ((f"{key}.jpg", image), (f"{key}.txt", text))]


@pytest.fixture
def recipe(web: Any, tmp_path: Path, random_checkpoint: Path) -> LabelRecipe:
    """Pictures 0 to 2, then 0 as the same file, 1 as another one, and 0 with another caption, in other units."""
    pictures = [web.jpeg(number, 120, 90) for number in range(3)]
    first = members(*((f"p{number}", picture, CAPTION) for number, picture in enumerate(pictures)))
    second = members(
        ("same", pictures[0], CAPTION), ("near", again(pictures[1]), CAPTION), ("told", pictures[0], b"A cat.")
    )
    web.tar_of(tmp_path / "web/0.tar", first)
    web.tar_of(tmp_path / "web/1.tar", second)
    return of(tmp_path / "web", random_checkpoint)


def of(source: Path, checkpoint: Path) -> LabelRecipe:
    teacher = TeacherRecipe(checkpoint=str(checkpoint), device="cpu", batch_size=2)
    return LabelRecipe(source=WebDatasetSource(uri=str(source)), teacher=teacher, unit_size=2, selection="all")


def run(recipe: LabelRecipe, out: Path, **options: Any) -> Any:
    return label(recipe, out, **{"backend": "inline", "progress": False, **options})


def checksums(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.parent.name != "manifests"]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mixed_keys(dataset: Path) -> list[str]:
    mix = Mix.open([MixEntry(dataset=str(dataset))], 0)
    try:
        return sorted(mix.labels(ref).key for ref in mix.datasets[0].refs)
    finally:
        mix.close()


# -------------------------------------------------------------------------------------------------------- duplicates


def test_readers_leave_duplicates_out_and_the_shards_stay_as_they_are(recipe: LabelRecipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(recipe, out)
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
    run(recipe, out)
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


def test_the_view_does_not_depend_on_how_the_job_was_run(recipe: LabelRecipe, tmp_path: Path) -> None:
    from engine.runner import Workers, connected

    run(recipe, tmp_path / "inline")
    with connected(Workers(count=2)):
        run(recipe, tmp_path / "ray", backend="ray", workers=2)
    for out in (tmp_path / "inline", tmp_path / "ray"):
        dedupe(out, progress=False)
    assert checksums(tmp_path / "inline") == checksums(tmp_path / "ray")


def test_by_pair_another_caption_of_a_picture_stays(recipe: LabelRecipe, tmp_path: Path) -> None:
    run(recipe, tmp_path / "out")
    dedupe(tmp_path / "out", by="pair", progress=False)
    assert mixed_keys(tmp_path / "out") == ["p0", "p1", "p2", "told"]


def test_a_dataset_that_has_changed_since_is_refused_by_every_reader(
    web: Any, recipe: LabelRecipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(recipe, out)
    dedupe(out, progress=False)
    web.tar_of(tmp_path / "web/2.tar", web.samples(1, first=9))
    run(recipe, out, relabel=True)
    for read in (mixed_keys, dataset_report):
        with pytest.raises(ValueError, match="run `glip-engine dedupe"):
            read(out)
    assert any("other shards" in problem for problem in verify(out, progress=False).problems)
    dedupe(out, progress=False)
    assert len(mixed_keys(out)) == 4


def test_the_command_line_finds_duplicates_and_says_what_is_wrong(
    recipe: LabelRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(recipe, tmp_path / "out")
    assert main(["dedupe", str(tmp_path / "out"), "--json", "--distance", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["duplicates"]["duplicate_exact"] == 2
    assert main(["dedupe", str(tmp_path / "out"), "--distance", "40"]) == 2
    assert "wanted 0 to 12" in capsys.readouterr().err
    assert main(["dedupe", str(tmp_path / "none")]) == 2
    assert "is no dataset" in capsys.readouterr().err


def test_human_data_is_not_deduplicated(tmp_path: Path) -> None:
    import_gold("scenes", ScenesSource(count=2), tmp_path / "human")
    with pytest.raises(ValueError, match="human data"):
        dedupe(tmp_path / "human", progress=False)


# ------------------------------------------------------------------------------------------------------------- leaks


@pytest.fixture
def exam(tmp_path: Path, recipe: LabelRecipe, web: Any) -> Path:
    """A dataset to be evaluated on: picture 1 as it is, and picture 0 as another file."""
    folder = tmp_path / "exam-web"
    pictures = [web.jpeg(number, 120, 90) for number in range(2)]
    web.tar_of(folder / "0.tar", members(("e1", pictures[1], CAPTION), ("e0", again(pictures[0]), CAPTION)))
    run(recipe.model_copy(update={"source": WebDatasetSource(uri=str(folder))}), tmp_path / "exam")
    return tmp_path / "exam"


def guarded(recipe: LabelRecipe, *exams: Path) -> LabelRecipe:
    return recipe.model_copy(update={"leaks": tuple(map(str, exams))})


def test_pictures_of_an_evaluation_set_are_rejected_before_the_teacher(
    recipe: LabelRecipe, exam: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run(guarded(recipe, exam), out)
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
    run(with_guard, out)
    (tmp_path / "elsewhere").mkdir()
    exam.rename(tmp_path / "elsewhere/exam")
    moved = guarded(recipe, tmp_path / "elsewhere/exam")
    assert run(moved, out).new_units == 0
    with pytest.raises(ValueError, match="pictures of `leaks` are not what they were"):
        run(recipe, out)
    with pytest.raises(ValueError, match="max_leak_distance"):
        run(moved.model_copy(update={"max_leak_distance": 2}), out)
    web.tar_of(tmp_path / "exam-web/1.tar", web.samples(1, first=9))
    grown = recipe.model_copy(update={"source": WebDatasetSource(uri=str(tmp_path / "exam-web"))})
    run(grown, tmp_path / "elsewhere/exam", relabel=True)
    with pytest.raises(ValueError, match="pictures of `leaks` are not what they were"):
        run(moved, out)


def test_human_data_guards_too(tmp_path: Path, random_checkpoint: Path) -> None:
    import_gold("scenes", ScenesSource(count=3, first_index=2), tmp_path / "human")
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", batch_size=2)
    recipe = LabelRecipe(source=ScenesSource(count=6), teacher=teacher, leaks=(str(tmp_path / "human"),))
    result = run(recipe, tmp_path / "out")
    assert result.rejects["leak"] == 3
    assert "leak_near" not in result.rejects


def test_a_guard_with_holes_is_refused_before_any_work(recipe: LabelRecipe, exam: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no dataset"):
        run(guarded(recipe, tmp_path / "nothing"), tmp_path / "out")
    card = json.loads((exam / "dataset.json").read_text())
    (exam / "dataset.json").write_text(json.dumps({**card, "complete": False}))
    with pytest.raises(ValueError, match=r"leaks: .* is not complete"):
        run(guarded(recipe, exam), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ----------------------------------------------------------------------------------------------------------- filters


def test_filters_are_stages_with_reasons_of_their_own_and_everything_adds_up(
    recipe: LabelRecipe, tmp_path: Path
) -> None:
    filters = FiltersRecipe(min_caption_words=3, min_image_side=80, stop_phrases=("cats",))
    result = run(recipe.model_copy(update={"filters": filters}), tmp_path / "out")
    assert result.rejects == {"image_side_below_min": 1, "caption_words_below_min": 1}
    stages = {stage.stage: stage for stage in result.stages}
    assert list(stages)[:4] == ["read", "filter", "phrases", "filter_phrases"]
    assert stages["filter_phrases"].phrases_left_out == 4
    for before, after in zip(result.stages, result.stages[1:], strict=False):
        assert after.came_in == before.went_on
    store = Store(tmp_path / "out")
    samples = [one.labels for unit in committed_units(store) for one in read_shard(store, unit)]
    assert {phrase.text for labels in samples for phrase in labels.phrases} == {"A brown dog"}
    assert verify(tmp_path / "out", progress=False).problems == []
    page = Path(report([tmp_path / "out"], tmp_path / "report")).read_text()
    assert "caption words below min" in page
    assert "phrases of samples that went on" in page


def test_filters_that_are_off_change_neither_stages_nor_digest(recipe: LabelRecipe, tmp_path: Path) -> None:
    plain = recipe.model_dump(mode="json")
    assert not {"filters", "leaks", "max_leak_distance"} & plain.keys()
    run(recipe, tmp_path / "out")
    again_recipe = recipe.model_copy(update={"filters": FiltersRecipe(), "leaks": (), "max_leak_distance": 3})
    assert run(again_recipe, tmp_path / "out").new_units == 0
    manifest = read_manifest(Store(tmp_path / "out"), 0)
    assert manifest is not None
    assert [stage.stage for stage in manifest.stages] == ["read", "phrases", "prompt", "ground", "select"]
    with pytest.raises(ValueError, match=r"filters\.min_image_side"):
        run(recipe.model_copy(update={"filters": FiltersRecipe(min_image_side=9)}), tmp_path / "out")
