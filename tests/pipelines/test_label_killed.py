"""SIGKILL at any moment, the same command again: the bytes of an undisturbed run, and never half a shard read as whole.

The job runs in a process of its own. It is killed at each of the moments at which a file is about to take its name, or
has just taken it: what is on the disk can differ only there.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import time
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import Store
from engine.shards import committed_units, read_shard
from pipelines.label import label
from pipelines.verify import verify
from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource


@pytest.fixture(scope="module")
def recipe(web: Any, tmp_path_factory: pytest.TempPathFactory, random_checkpoint: Path) -> LabelRecipe:
    source = tmp_path_factory.mktemp("web")
    web.tar_of(source / "0.tar", [*web.samples(3), ("x.jpg", b"noise"), ("x.txt", b"a dog")])
    web.tar_of(source / "1.tar", web.samples(2, first=3))
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", batch_size=2)
    return LabelRecipe(source=WebDatasetSource(uri=str(source)), teacher=teacher, unit_size=2)


@pytest.fixture(scope="module")
def undisturbed(recipe: LabelRecipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed")
    label(recipe, out, backend="inline", progress=False)
    return checksums(out)


@pytest.fixture(scope="module")
def context() -> BaseContext:
    """Processes that start from a clean one with everything imported: quick, and free of this process's threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipelines.label", "engine.phrases", "teacher.worker", "teacher.glip_grounder"])
    return context


def checksums(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.parent.name != "manifests"]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def job_killed_at(recipe: LabelRecipe, out: str, moment: int) -> None:
    """Run the job inline and die at the ``moment``-th of the moments before and after a file takes its name."""
    passed = 0
    replace = os.replace

    def count() -> None:
        nonlocal passed
        passed += 1
        if passed == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def replace_and_count(*names: str) -> None:
        count()
        replace(*names)
        count()

    os.replace = replace_and_count  # type: ignore[assignment]
    label(recipe, out, backend="inline", progress=False)


def job(recipe: LabelRecipe, out: str, backend: Any) -> None:
    label(recipe, out, backend=backend, workers=1, progress=False)


def assert_nothing_is_half(out: Path) -> None:
    store = Store(out)
    for unit in committed_units(store):
        list(read_shard(store, unit))


# A run of three units gives 1 card + 3 x 4 files + 1 card a name: 28 moments.
@pytest.mark.parametrize("moments", [(1,), (3, 4), (5, 10, 9), (8, 8), (27,), (28,)])
def test_killed_between_any_two_files_and_run_again_it_ends_in_the_same_bytes(
    recipe: LabelRecipe, undisturbed: dict[str, str], context: Any, tmp_path: Path, moments: tuple[int, ...]
) -> None:
    out = tmp_path / "out"
    for moment in moments:
        process = context.Process(target=job_killed_at, args=(recipe, str(out), moment))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert_nothing_is_half(out)
        assert verify(out, progress=False).problems if (out / "dataset.json").exists() and moment < 28 else True
    result = label(recipe, out, backend="inline", progress=False)
    assert result.new_units < 3 or moments[0] < 10
    assert checksums(out) == undisturbed
    assert verify(out, progress=False).problems == []


@pytest.mark.slow
def test_a_job_on_ray_that_is_killed_leaves_no_process_and_ends_in_the_same_bytes(
    recipe: LabelRecipe, undisturbed: dict[str, str], context: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = context.Process(target=job, args=(recipe, str(out), "ray"))
    process.start()
    deadline = time.monotonic() + 300
    while not list(out.glob("manifests/*.json")) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    children = descendants(process.pid)
    assert children
    process.kill()
    process.join()
    while any(alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [child for child in children if alive(child)]
    assert_nothing_is_half(out)
    label(recipe, out, workers=2, progress=False)
    assert checksums(out) == undisturbed


def test_a_job_that_is_told_to_stop_stops_and_can_be_gone_on_with(
    recipe: LabelRecipe, undisturbed: dict[str, str], context: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = context.Process(target=job, args=(recipe, str(out), "inline"))
    process.start()
    deadline = time.monotonic() + 100
    while not list(out.glob("manifests/*.json")) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.terminate()
    process.join()
    label(recipe, out, backend="inline", progress=False)
    assert checksums(out) == undisturbed


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found
