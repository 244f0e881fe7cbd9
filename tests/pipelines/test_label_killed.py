"""SIGKILL at any moment, the same command again: the bytes of an undisturbed run, and never half a shard read as whole.

The job runs in a process of its own. It is killed at each of the moments at which a file is about to take its name, or
has just taken it: what is on the disk can differ only there.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from job_processes import descendants, wait_until_gone
from killed_jobs import clean_processes, label_and_die
from labelled_datasets import assert_nothing_is_half, checksums, label_inline, tars_recipe

from pipelines.label import label
from pipelines.verify import verify
from schemas.recipes import LabelRecipe


@pytest.fixture(scope="module")
def recipe(web: Any, tmp_path_factory: pytest.TempPathFactory, random_checkpoint: Path) -> LabelRecipe:
    source = tmp_path_factory.mktemp("web")
    web.tar_of(source / "0.tar", [*web.samples(3), ("x.jpg", b"noise"), ("x.txt", b"a dog")])
    web.tar_of(source / "1.tar", web.samples(2, first=3))
    return tars_recipe(source, random_checkpoint, unit_size=2)


@pytest.fixture(scope="module")
def undisturbed(recipe: LabelRecipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed")
    label_inline(recipe, out)
    return checksums(out)


def job(recipe: LabelRecipe, out: str, backend: Any) -> None:
    label(recipe, out, backend=backend, workers=1, progress=False)


def begun(recipe: LabelRecipe, out: Path, backend: str) -> Any:
    """A process of its own that has done the first unit of the job."""
    process = clean_processes().Process(target=job, args=(recipe, str(out), backend))
    process.start()
    deadline = time.monotonic() + 300
    while not list(out.glob("manifests/*.json")) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    return process


# A run of three units gives 1 card + 3 x 4 files + 1 card a name: 28 moments.
@pytest.mark.parametrize("moments", [(1,), (3, 4), (5, 10, 9), (8, 8), (27,), (28,)])
def test_killed_between_any_two_files_and_run_again_it_ends_in_the_same_bytes(
    recipe: LabelRecipe, undisturbed: dict[str, str], tmp_path: Path, moments: tuple[int, ...]
) -> None:
    out = tmp_path / "out"
    for moment in moments:
        label_and_die(recipe, out, moment, after=True)
        assert_nothing_is_half(out)
        assert verify(out, progress=False).problems if (out / "dataset.json").exists() and moment < 28 else True
    result = label_inline(recipe, out)
    assert result.new_units < 3 or moments[0] < 10
    assert checksums(out) == undisturbed
    assert verify(out, progress=False).problems == []


@pytest.mark.slow
def test_a_job_on_ray_that_is_killed_leaves_no_process_and_ends_in_the_same_bytes(
    recipe: LabelRecipe, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = begun(recipe, out, "ray")
    children = descendants(process.pid)
    assert children
    process.kill()
    process.join()
    wait_until_gone(children)
    assert_nothing_is_half(out)
    label(recipe, out, workers=2, progress=False)
    assert checksums(out) == undisturbed


def test_a_job_that_is_told_to_stop_stops_and_can_be_gone_on_with(
    recipe: LabelRecipe, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = begun(recipe, out, "inline")
    process.terminate()
    process.join()
    label_inline(recipe, out)
    assert checksums(out) == undisturbed
