"""What a job will take, told from a few samples: near what it then takes, the same by one seed, and nothing written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from labelled_datasets import tars_recipe

from engine.running.cores import usable_cores
from pipelines.cli import main
from pipelines.label import label
from pipelines.labelling.estimates import Estimate, bootstrap, spread_slices
from pipelines.labelling.plan import label_plan
from pipelines.labelling.plan_document import print_plan
from schemas.recipes import LabelRecipe
from schemas.records import UnitRef

IMAGES = 240


@pytest.fixture(scope="module")
def recipe(web: Any, tmp_path_factory: pytest.TempPathFactory, random_checkpoint: Path) -> LabelRecipe:
    source = tmp_path_factory.mktemp("web")
    for number in range(4):
        web.tar_of(source / f"{number}.tar", web.samples(IMAGES // 4, first=number * IMAGES // 4))
    return tars_recipe(source, random_checkpoint, unit_size=20)


REFS = [UnitRef(number, f"{number // 4}.tar", 10 * (number % 4), 10) for number in range(40)]


def test_slices_are_spread_over_the_source_inside_its_units_and_drawn_by_the_seed() -> None:
    slices = spread_slices(REFS, 50, 10, seed=3)
    assert [ref.index for ref in slices] == list(range(10))
    assert {ref.rows for ref in slices} == {5}
    assert [ref.uri for ref in slices] == [f"{number}.tar" for number in range(10)]
    assert all(ref.first_row // 10 == (ref.first_row + ref.rows - 1) // 10 for ref in slices)
    assert slices == spread_slices(REFS, 50, 10, seed=3) != spread_slices(REFS, 50, 10, seed=4)


def test_a_source_no_larger_than_the_sample_is_probed_whole() -> None:
    assert spread_slices(REFS, 400, 10, seed=0) == REFS


def test_a_single_unit_is_cut_into_slices_since_one_alone_has_no_interval() -> None:
    slices = spread_slices([UnitRef(0, "0.tar", 7, 62)], 300, 12, seed=0)
    assert slices == [UnitRef(n, "0.tar", 7 + 6 * n, min(6, 62 - 6 * n)) for n in range(11)]


@pytest.mark.parametrize(("asked", "probed"), [(13, 13), (23, 23), (24, 24), (8, 12)])
def test_as_many_samples_are_probed_as_asked_for_and_at_least_one_a_slice(asked: int, probed: int) -> None:
    slices = spread_slices(REFS, asked, 12, seed=0)
    assert (len(slices), sum(ref.rows for ref in slices)) == (12, probed)


def test_no_slice_is_probed_twice() -> None:
    slices = spread_slices(REFS[:2], 10, 100, seed=0)
    assert len({(ref.uri, ref.first_row) for ref in slices}) == len(slices) <= 20


def test_the_interval_holds_the_figure_and_is_of_no_width_where_nothing_varies() -> None:
    mean = bootstrap([1.0, 2.0, 3.0, 6.0], lambda drawn: sum(drawn) / len(drawn), seed=0)
    assert mean.value == 3
    assert 1 <= mean.low < 3 < mean.high <= 6
    same = bootstrap([2.0] * 5, lambda drawn: sum(drawn) / len(drawn), seed=0)
    assert (same.low, same.value, same.high) == (2, 2, 2)
    assert mean.over(6) == Estimate(value=2, low=6 / mean.high, high=6 / mean.low)


def test_the_plan_foretells_what_the_job_then_takes(
    recipe: LabelRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for clock in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, clock, time.process_time)  # other processes take time from the job or from the plan
    found = label_plan(recipe, samples=100, backend="inline", price_per_hour=2.0)
    assert (found.source_images, found.units, found.workers, found.device) == (IMAGES, 12, 1, "cpu")
    assert 80 <= found.probed_images <= 120
    assert found.timed_slices == found.probed_slices - 1
    result = label(recipe, tmp_path / "out", backend="inline", progress=False)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.parent.name != "manifests"]
    stored = sum(path.stat().st_size for path in files)
    assert found.storage_bytes.value == pytest.approx(stored, rel=0.5)  # a table of ten rows is mostly its footer
    assert found.boxes_per_image.value == pytest.approx(result.boxes / result.images, rel=0.2)
    assert found.labelled_share.value == 1
    assert result.images_per_second is not None
    assert result.images_per_second / 4 < found.images_per_second.value < result.images_per_second * 4
    assert found.hours.value == pytest.approx(IMAGES / found.images_per_second.value / 3600)
    assert found.cost is not None
    assert found.cost.value == pytest.approx(2 * found.worker_hours.value)


def test_the_command_prints_the_plan_and_writes_nothing(
    recipe: LabelRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(recipe.model_dump_json())
    words = ["label", "--recipe", str(tmp_path / "recipe.yaml"), "--plan", "--plan-samples", "60", "--inline"]
    assert main([*words, "--out", str(tmp_path / "out"), "--price-per-hour", "3"]) == 0
    text = capsys.readouterr().out
    assert "240 images in 12 units; probed" in text
    assert "(seed 0)" in text
    assert [line.split()[0] for line in text.splitlines()[1:]] == [
        *("images/s", "hours", "worker-hours", "GB", "labelled", "boxes", "cost")
    ]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cost"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [None, 3])
def test_on_ray_the_plan_counts_the_workers_one_a_core_where_nothing_is_said(
    recipe: LabelRecipe, workers: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    count = workers or max(2, usable_cores())
    either = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"device": "auto"})})
    found = label_plan(either, samples=100, workers=workers)
    assert (found.workers, found.device) == (count, "cpu")
    assert found.worker_hours.value == pytest.approx(count * found.hours.value)
    print_plan(found)
    assert f"on {count} CPU workers" in capsys.readouterr().out
