"""Evaluation on Ray: the figures and the bytes of the inline run, whatever dies, and nothing is asked twice."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from exported_datasets import human_dataset
from job_processes import DEADLINE_S, kill, wait_for
from started_commands import started
from stored_samples import samples_in

from engine.artifacts import Store
from engine.gold import import_gold
from engine.runner import connected
from engine.running.layout import Workers
from engine.shards import write_shard
from pipelines.evaluate import evaluate
from pipelines.evaluation.answered_units import MANIFEST
from schemas.recipes import EvaluateRecipe, ScenesSource, TeacherRecipe
from schemas.records import UnitRef
from schemas.reports import EvaluationReport
from schemas.shards import ShardManifest

UNITS = 40  # of the scenes: enough to be killed in the middle of


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Phrases in shards of two samples, one picture of which cannot be read; and boxes of classes."""
    folder = tmp_path_factory.mktemp("gold")
    import_gold("scenes", ScenesSource(count=2 * UNITS, seed=3), folder / "scenes", unit_size=2)
    broken, fine = samples_in(folder / "scenes")[:2]
    samples = [replace(broken, image=b"no picture"), fine]
    write_shard(Store(folder / "scenes"), UnitRef(0, "scenes", 0, 2), samples, [], work_digest="other", stages=[])
    return str(folder / "scenes"), str(human_dataset(folder / "boxes", "detection"))


@pytest.fixture(scope="module")
def recipe(datasets: tuple[str, ...], random_checkpoint: Path) -> EvaluateRecipe:
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", batch_size=4)
    return EvaluateRecipe(datasets=datasets, teacher=teacher, min_score=0.001)


@pytest.fixture(scope="module")
def inline(recipe: EvaluateRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("inline")
    reports = evaluate(recipe, out, progress=False)
    assert reports[0].outcomes["background"] > 100, "the model has much to say"
    return out


def figures(reports: list[EvaluationReport]) -> list[EvaluationReport]:
    return [one.model_copy(update={"seconds": 0.0}) for one in reports]


def answers(out: Path) -> dict[str, list[dict[str, Any]]]:
    return {str(path.relative_to(out)): pq.read_table(path).to_pylist() for path in (out / "units").rglob("*.parquet")}


def manifests(out: Path) -> list[ShardManifest]:
    found = [pq.read_schema(path).metadata[MANIFEST] for path in sorted((out / "units").rglob("*.parquet"))]
    return [ShardManifest.model_validate_json(one) for one in found]


def assert_equal(out: Path, inline: Path, recipe: EvaluateRecipe) -> None:
    """Answers, tables of boxes and pages; evaluating again does nothing, so that it gives what was written."""
    assert answers(out) == answers(inline)
    for name in ("answers/scenes.parquet", "answers/human.parquet", "index.html"):
        assert (out / name).read_bytes() == (inline / name).read_bytes()
    first, second = (evaluate(recipe, folder, progress=False) for folder in (out, inline))
    assert figures(first) == figures(second)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One Ray that the jobs of this file join. The GPU it is told of is a mere number to it."""
    import ray as ray_module

    ray_module.init(address="local", num_cpus=3, num_gpus=1, include_dashboard=False, log_to_driver=False)
    with connected(Workers(count=2)) as ray:
        yield ray
    ray_module.shutdown()


def test_two_actors_give_the_bytes_of_the_inline_run(
    ray: Any, recipe: EvaluateRecipe, inline: Path, tmp_path: Path
) -> None:
    reports = evaluate(recipe, tmp_path / "out", workers=2, backend="ray", progress=False)
    assert_equal(tmp_path / "out", inline, recipe)
    workers = {one.worker for one in manifests(tmp_path / "out")}
    assert len(workers) == 2
    assert not any(one.endswith(f":{os.getpid()}") for one in workers)
    by_recipe = recipe.model_copy(update={"backend": "ray", "workers": 1})
    assert figures(evaluate(by_recipe, progress=False)) == figures(reports), "by one, and without a folder"


def test_a_worker_that_is_killed_is_restarted_and_the_figures_are_the_same(
    ray: Any, recipe: EvaluateRecipe, inline: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with ThreadPoolExecutor(1) as threads:
        killed = threads.submit(kill_first_worker, out)
        evaluate(recipe, out, workers=1, backend="ray", progress=False)
        killed.result()
    assert len({one.worker for one in manifests(out)}) == 2
    assert_equal(out, inline, recipe)


def kill_first_worker(out: Path) -> None:
    """SIGKILL to the process that answered the first unit, as soon as that is written."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := manifests(out)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kill([int(found[0].worker.rpartition(":")[2])])


def test_beside_a_gpu_pictures_are_read_by_other_processes_than_answer(
    ray: Any, recipe: EvaluateRecipe, inline: Path, tmp_path: Path
) -> None:
    """Where there is no GPU the model takes the CPU."""
    out = tmp_path / "out"
    beside_gpu = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"device": "auto"})})
    found = figures(evaluate(beside_gpu, out, backend="ray", progress=False))
    if torch.cuda.is_available():
        assert {one.images for one in found} == {2 * UNITS, 3}
    else:
        assert answers(out) == answers(inline)
        assert found == figures(evaluate(recipe, inline, progress=False))


def test_what_is_answered_is_not_asked_again(recipe: EvaluateRecipe, inline: Path, tmp_path: Path) -> None:
    """A unit that is gone or damaged is; others are not, nor by another protocol, nor where more samples are taken."""
    out = tmp_path / "out"
    few = recipe.model_copy(update={"limit": 9})
    evaluate(few, out, progress=False)
    assert sum(one.rows for one in manifests(out)) == 9 + 3
    assert evaluate(recipe, out, progress=False)[0].images == 2 * UNITS
    asked = _asked_at(out)
    lost, damaged = sorted(asked)[3:5]
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:200])
    (out / "evaluation.json").unlink()
    evaluate(recipe, out, progress=False)
    assert {path for path, when in _asked_at(out).items() if when != asked[path]} == {lost, damaged}
    assert_equal(out, inline, recipe)
    asked = _asked_at(out)
    merged = evaluate(recipe.model_copy(update={"protocols": ("merged-box", "voc12")}), out, progress=False)
    assert merged[0].value("phrase_recall_merged@1") is not None
    assert _asked_at(out) == asked
    evaluate(recipe.model_copy(update={"chunk_classes": 2}), out, progress=False)
    assert all(when != asked[path] for path, when in _asked_at(out).items()), "these are other questions"


def _asked_at(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (out / "units").rglob("*.parquet")}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--inline", "--workers=2"])
def test_an_evaluation_that_is_killed_goes_on_after_its_last_unit(
    recipe: EvaluateRecipe, inline: Path, tmp_path: Path, how: str
) -> None:
    out = tmp_path / "out"
    with started("evaluate", recipe, out, how) as process:
        wait_for(lambda: len(_asked_at(out)) >= 5, process)
    done = _asked_at(out)
    assert 5 <= len(done) < UNITS
    evaluate(recipe, out, progress=False)
    assert {path: when for path, when in _asked_at(out).items() if path in done} == done
    assert_equal(out, inline, recipe)
