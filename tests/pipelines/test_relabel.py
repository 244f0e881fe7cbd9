"""``label --relabel``: what a change does not touch stays, the rest is done again, and a kill in the middle loses
nothing: what comes out is, byte by byte, what a new folder would hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from killed_jobs import label_and_die
from labelled_datasets import checksums, label_inline, tars_recipe

from engine.artifacts import Store
from engine.gold import import_gold
from engine.shards import committed_units, read_card, read_shard
from pipelines.labelling.bookkeeping import Digests, recipe_digest
from pipelines.verify import verify
from schemas.recipes import LabelRecipe, ScenesSource, WebDatasetSource
from schemas.records import UnitRef


@pytest.fixture
def source(web: Any, tmp_path: Path) -> Path:
    web.tar_of(tmp_path / "web/0.tar", [*web.samples(3), ("x.jpg", b"noise"), ("x.txt", b"a dog")])
    web.tar_of(tmp_path / "web/1.tar", web.samples(3, first=3))
    return tmp_path / "web"


@pytest.fixture
def recipe(source: Path, random_checkpoint: Path) -> LabelRecipe:
    return tars_recipe(source, random_checkpoint, unit_size=2)


def assert_is_as_new(recipe: LabelRecipe, out: Path, fresh: Path) -> None:
    label_inline(recipe, fresh)
    assert checksums(out) == checksums(fresh)
    assert committed_units(Store(out)) == committed_units(Store(fresh))
    assert verify(out, progress=False).problems == []


def test_whatever_decides_a_shard_is_in_the_digest_of_its_work() -> None:
    """The teacher above all: the next one labels every unit again."""
    digests, ref = Digests("s", "r", "t", {"0.tar": "p"}), UnitRef(0, "0.tar", 0, 2)
    others = [replace(digests, **field) for field in ({"teacher": "o"}, {"recipe": "o"}, {"parts": {"0.tar": "o"}})]
    slices = [replace(ref, **field) for field in ({"index": 1}, {"first_row": 1}, {"rows": 1})]
    works = [*(one.work(ref) for one in (digests, *others)), *(digests.work(one) for one in slices)]
    assert len(set(works)) == len(works)
    assert replace(digests, source="o").work(ref) == works[0]  # other parts of a source that has grown


@pytest.mark.parametrize(
    ("change", "decides"),
    [
        ({"max_image_bytes": 5}, True),
        ({"caption_field": "text"}, True),
        ({"row_counts": "scan"}, True),
        ({"uri": "elsewhere"}, False),
    ],
)
def test_of_a_source_what_decides_a_shard_is_in_the_digest_and_not_where_it_lies(
    change: dict[str, Any], decides: bool
) -> None:
    recipe = LabelRecipe(source=WebDatasetSource(uri="here"))
    changed = recipe.model_copy(update={"source": recipe.source.model_copy(update=change)})
    assert (recipe_digest(changed) != recipe_digest(recipe)) is decides


@pytest.mark.parametrize(
    "change", [{"max_boxes_per_phrase": 3}, {"unit_size": 3}, {"unit_size": 1}, {"min_score": 0.2}], ids=str
)
def test_another_recipe_is_refused_and_with_relabel_gives_what_a_new_folder_would_hold(
    recipe: LabelRecipe, tmp_path: Path, change: dict[str, Any]
) -> None:
    out, changed = tmp_path / "out", recipe.model_copy(update=change)
    label_inline(recipe, out)
    before = checksums(out)
    with pytest.raises(ValueError, match=f"{next(iter(change))} was .*, is now .*--relabel"):
        label_inline(changed, out)
    assert checksums(out) == before
    result = label_inline(changed, out, relabel=True)
    assert result.new_units == result.units
    assert_is_as_new(changed, out, tmp_path / "fresh")


def test_a_source_that_has_grown_leaves_its_old_parts_as_they_are(
    web: Any, recipe: LabelRecipe, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    label_inline(recipe, out)
    shards = {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    web.tar_of(source / "2.tar", web.samples(3, first=6))
    with pytest.raises(ValueError, match="the content of the source is not what it was"):
        label_inline(recipe, out)
    result = label_inline(recipe, out, relabel=True)
    assert (result.units, result.new_units) == (6, 2)
    assert {path: path.stat().st_mtime_ns for path in shards} == shards
    assert_is_as_new(recipe, out, tmp_path / "fresh")


def test_a_key_that_another_tar_has_now_is_labelled_again(
    web: Any, recipe: LabelRecipe, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    label_inline(recipe, out)
    # The first key of 1.tar, which is as it was.
    web.tar_of(source / "0.tar", [*web.samples(3), *web.samples(1, first=3)])
    label_inline(recipe, out, relabel=True)
    assert_is_as_new(recipe, out, tmp_path / "fresh")


def test_another_selection_alone_relabels_nothing(recipe: LabelRecipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    label_inline(recipe, out)
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != "dataset.json"}
    for relabel, selection in ((False, "grit"), (True, {"preset": "owl-st", "min_best_score": 0.2})):
        changed = recipe.model_copy(update={"selection": selection})
        assert label_inline(changed, out, relabel=relabel).new_units == 0
        card = read_card(Store(out))
        assert (card.complete, card.selection) == (True, selection)
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_on_an_object_store_it_ends_as_a_new_prefix_too(recipe: LabelRecipe, s3_bucket: str) -> None:
    changed = recipe.model_copy(update={"unit_size": 3})
    label_inline(recipe, f"{s3_bucket}/out")
    label_inline(changed, f"{s3_bucket}/out", relabel=True)
    label_inline(changed, f"{s3_bucket}/fresh")
    assert checksums(f"{s3_bucket}/out") == checksums(f"{s3_bucket}/fresh")
    for out in ("out", "fresh"):
        assert committed_units(Store(f"{s3_bucket}/{out}")) == [0, 1, 2]


def test_human_labels_are_never_relabelled(recipe: LabelRecipe, tmp_path: Path) -> None:
    import_gold("scenes", ScenesSource(count=2), tmp_path / "human")
    before = checksums(tmp_path / "human")
    with pytest.raises(ValueError, match=r"the labels were human, are now pseudo[.] Give another --out"):
        label_inline(recipe, tmp_path / "human", relabel=True)
    assert checksums(tmp_path / "human") == before


# ------------------------------------------------------------------------------------------------------------ killed


# From 4 units of 2 to 3 of 3 (the tars have 4 and 3 rows): 1 card, 4 files of the unit that goes, 3 manifests that go,
# 3 x 4 files, 1 card: 21 moments.
@pytest.mark.parametrize("moment", [1, 2, 3, 5, 6, 7, 10, 15, 20, 21])
def test_killed_at_any_moment_and_run_again_it_ends_as_a_new_folder(
    recipe: LabelRecipe, tmp_path: Path, moment: int
) -> None:
    out, changed = tmp_path / "out", recipe.model_copy(update={"unit_size": 3})
    label_inline(recipe, out)
    label_and_die(changed, out, moment, calls=("replace", "remove"), relabel=True)
    assert read_card(Store(out)).complete == (moment == 1)  # from the first moment on, nobody takes it for whole
    card = read_card(Store(out))
    for unit in committed_units(Store(out)):
        for sample in read_shard(Store(out), unit):
            assert moment < 9 or sample.labels.recipe_digest == card.recipe_digest  # never two works in one dataset
    label_inline(changed, out, relabel=moment == 1)  # begun, it is this recipe's work: no leave is needed to go on
    assert_is_as_new(changed, out, tmp_path / "fresh")
