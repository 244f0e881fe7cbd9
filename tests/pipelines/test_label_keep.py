"""``source.keep`` through the whole job: what is not kept is counted, reported, planned with, and part of the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_datasets import checksums, label_inline
from stored_samples import samples_in

from engine.statistics import dataset_report
from pipelines.labelling.plan import label_plan
from pipelines.labelling.plan_document import print_plan
from pipelines.verify import verify
from schemas.recipes import LabelRecipe, load_recipe

SCORES = [0.1, 0.4, None, 0.25, 0.5, 0.31]


@pytest.fixture(params=["webdataset", "parquet"])
def recipe(request: Any, web: Any, tmp_path: Path, random_checkpoint: Path) -> LabelRecipe:
    """Six samples with a column ``similarity``; everything is kept."""
    samples = web.samples(len(SCORES))
    images, texts = [content for _, content in samples[::2]], [content.decode() for _, content in samples[1::2]]
    (tmp_path / "web").mkdir()
    if request.param == "parquet":
        columns = {"image": images, "caption": texts, "similarity": pa.array(SCORES, pa.float32())}
        pq.write_table(pa.table(columns), tmp_path / "web/0.parquet", row_group_size=4)
    else:
        fields = [(f"{number:09d}.json", json.dumps({"similarity": one}).encode()) for number, one in enumerate(SCORES)]
        members = [member for triple in zip(samples[::2], samples[1::2], fields, strict=True) for member in triple]
        web.tar_of(tmp_path / "web/0.tar", members)
    teacher = {"checkpoint": str(random_checkpoint), "device": "cpu", "batch_size": 2}
    source = {"kind": request.param, "uri": str(tmp_path / "web")}
    return LabelRecipe.model_validate({"source": source, "teacher": teacher, "unit_size": 4})


def keeping(recipe: LabelRecipe, least: float) -> LabelRecipe:
    """As ``--set source.keep.similarity.min=…`` does."""
    return load_recipe(LabelRecipe, None, (f"source.keep.similarity.min={least}",), recipe.model_dump(mode="json"))


def test_what_is_not_kept_is_counted_and_stands_in_the_report(recipe: LabelRecipe, tmp_path: Path) -> None:
    result = label_inline(keeping(recipe, 0.3), tmp_path / "out")
    assert (result.images, result.samples) == (6, 3)
    assert result.rejects == {"column_similarity_below_min": 2, "column_similarity_missing": 1}
    assert verify(tmp_path / "out", progress=False).problems == []
    table = {(one.stage, one.reason): one.count for one in dataset_report(tmp_path / "out").rejects}
    assert table == {("read", "column_similarity_below_min"): 2, ("read", "column_similarity_missing"): 1}


def test_another_rule_is_another_work_and_relabelling_gives_what_a_new_folder_holds(
    recipe: LabelRecipe, tmp_path: Path
) -> None:
    label_inline(recipe, tmp_path / "out")
    with pytest.raises(ValueError, match=r"source\.keep\.similarity\.min was None, is now 0\.3") as caught:
        label_inline(keeping(recipe, 0.3), tmp_path / "out")
    assert "content of the source" not in str(caught.value)
    label_inline(keeping(recipe, 0.3), tmp_path / "out", relabel=True)
    label_inline(keeping(recipe, 0.3), tmp_path / "new")
    assert checksums(tmp_path / "out") == checksums(tmp_path / "new")
    assert label_inline(keeping(recipe, 0.3), tmp_path / "out").new_units == 0
    with pytest.raises(ValueError, match=r"source\.keep\.similarity\.min was 0\.3, is now 0\.2"):
        label_inline(keeping(recipe, 0.2), tmp_path / "out")


def test_a_plan_is_made_with_what_is_kept_and_tells_what_is_not(
    recipe: LabelRecipe, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = label_plan(recipe, backend="inline")
    assert (whole.labelled_share.value, whole.probed_rejects) == (1, {})
    print_plan(whole)
    assert "rejects" not in capsys.readouterr().out
    found = label_plan(keeping(recipe, 0.3), backend="inline")
    assert found.labelled_share.value == 0.5
    assert found.probed_rejects == {"column_similarity_below_min": 2, "column_similarity_missing": 1}
    print_plan(found)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split(maxsplit=2) == [
        *("rejects", "3", "of those probed: column_similarity_below_min 2, column_similarity_missing 1")
    ]


def test_columns_that_are_carried_are_in_the_shards(recipe: LabelRecipe, tmp_path: Path) -> None:
    source = recipe.source.model_copy(update={"carry": ("similarity",)})
    label_inline(recipe.model_copy(update={"source": source}), tmp_path / "out")
    wanted = [None if score is None else {"similarity": pytest.approx(score)} for score in SCORES]
    assert [one.labels.source_columns for one in samples_in(tmp_path / "out")] == wanted
