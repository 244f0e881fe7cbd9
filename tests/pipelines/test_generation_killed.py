"""SIGKILL at any moment of a generation, the same command again: the decision and the digests of an undisturbed run.

The generation runs in a process of its own. It is killed before or after a file or folder takes its name, since what is
on the disk differs only there, and at moments drawn by chance. Not compared is what tells the time: manifests, log and
rate of training, and evaluations and report, whose digests in the lineage leave the seconds out; nor the state that
training resumes from, whose file holds the same tensors in another order of writing.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from killed_jobs import clean_processes, die_at
from tiny_generations import tiny_generation

from pipelines.generation import generation
from pipelines.registry import history
from pipelines.verify import verify
from schemas.recipes import GenerationRecipe

OUT = Path("g")
NOT_COMPARED = ("manifests", "evaluation", "losses.jsonl", "tensorboard", "result.json", "report", "state.pt")


@pytest.fixture(scope="module")
def recipe(random_checkpoint: Path) -> GenerationRecipe:
    train = {"steps": 4, "checkpoint_every": 2}
    gate = {"rules": [{"metric": "phrase_recall@1", "must": "exceed", "margin": 0.0}], "resamples": 100}
    return tiny_generation(
        random_checkpoint,
        scenes=(4, 3, 3),
        unit_size=2,
        train=train,
        candidate="averaged",
        gate=gate,
        registry="models",
    )


def job(recipe: GenerationRecipe, folder: str, moment: int = 0) -> None:
    """The generation in ``folder``, which dies at the ``moment``-th of the moments at which a name is taken."""
    os.chdir(folder)
    passed = die_at(moment, ("replace", "rename"), after=True)
    generation(recipe, OUT, backend="inline", progress=False)
    Path("moments").write_text(str(passed()))


def run(recipe: GenerationRecipe, folder: Path, moment: int = 0, after_s: float | None = None) -> int:
    """The exit code of the job, killed at the moment or after so many seconds."""
    process = clean_processes().Process(target=job, args=(recipe, str(folder), moment))
    process.start()
    process.join(after_s)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of everything that is compared."""
    files = [path for path in sorted((folder / OUT).rglob("*")) if path.is_file()]
    names = {path: str(path.relative_to(folder)) for path in files}
    kept = {path: name for path, name in names.items() if not any(part in NOT_COMPARED for part in path.parts)}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for path, name in kept.items() if "/." not in name}


@pytest.fixture(scope="module")
def undisturbed(recipe: GenerationRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    assert run(recipe, folder) == 0
    (folder / "seconds").write_text(str(time.monotonic() - started))
    return folder


def assert_equals_undisturbed(folder: Path, undisturbed: Path) -> None:
    assert digests(folder) == digests(undisturbed)
    for name in ("decision.json", "lineage.json"):
        assert (folder / OUT / name).read_bytes() == (undisturbed / OUT / name).read_bytes()
    assert verify(folder / OUT / "pseudo", progress=False).problems == []
    moves = [history(one / "models", progress=False) for one in (folder, undisturbed)]
    assert moves[0].problems == []
    promoted = [[entry.model_digest for entry in one.entries] for one in moves]
    assert promoted[0] == promoted[1], "once; the number of a version that was half-written is not used again"


@pytest.mark.parametrize("share", [0.35, 0.8, 0.97])
def test_killed_where_a_name_is_taken_and_run_again_it_ends_in_the_same_digests(
    recipe: GenerationRecipe, undisturbed: Path, tmp_path: Path, share: float
) -> None:
    moment = round(int((undisturbed / "moments").read_text()) * share)
    assert run(recipe, tmp_path, moment) == -signal.SIGKILL
    assert run(recipe, tmp_path) == 0
    assert_equals_undisturbed(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_killed_at_a_random_moment_it_ends_in_the_same_digests(
    recipe: GenerationRecipe, undisturbed: Path, tmp_path: Path, number: int
) -> None:
    chance = random.Random(number)
    moments, seconds = (float((undisturbed / name).read_text()) for name in ("moments", "seconds"))
    for _ in range(chance.choice([1, 1, 2, 3])):
        if chance.random() < 0.5:
            run(recipe, tmp_path, moment=chance.randint(1, int(moments)))
        else:
            run(recipe, tmp_path, after_s=chance.uniform(0, seconds))
    assert run(recipe, tmp_path) == 0
    assert_equals_undisturbed(tmp_path, undisturbed)
