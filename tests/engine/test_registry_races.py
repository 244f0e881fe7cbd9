"""Many processes on one registry: of promotions at once one wins, and one killed at any moment leaves it whole."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from python_paths import python_path
from registered_versions import add, current, digest, files_of

from engine.registry import Registry

ROOT = Path(__file__).parents[2]
PROMOTE = """
import sys
from engine.registry import Registry
registry = Registry(sys.argv[1])
state = registry.state()
version = registry.write_version({"model.safetensors": sys.argv[2].encode()}, 1, model_digest=sys.argv[2] * 64)
print("ready", flush=True)
sys.stdin.readline()
try:
    print("won", registry.move(state, version, "promote", sys.argv[2]).version)
except ValueError as error:
    print("told", error)
"""


def test_who_reads_the_pointer_before_another_moves_it_does_not_move_it(registry: Registry) -> None:
    add(registry, "one")
    seen = registry.state()
    slow = registry.write_version(files_of("slow"), 1, model_digest=digest("slow"))
    add(registry, "fast")
    with pytest.raises(ValueError, match=r"another process was faster \(promote to version 3"):
        registry.move(seen, slow, "promote", "decided against version 1")
    assert current(registry) == 3
    assert [entry.version for entry in registry.state().entries] == [1, 3]


def test_a_store_without_conditional_puts_swaps_under_its_lock(tmp_path: Path) -> None:
    registry = Registry(f"memory://{tmp_path.name}")
    add(registry, "one")
    seen = registry.state()
    add(registry, "two")
    with pytest.raises(ValueError, match="another process was faster"):
        registry.move(seen, registry.version(1), "rollback", "late")
    assert current(registry) == 2


def test_of_promotions_at_once_one_wins_and_the_others_are_told(registry: Registry) -> None:
    add(registry, "one")
    commands = [[sys.executable, "-c", PROMOTE, registry.uri, name] for name in "abc"]
    environment = {**os.environ, **python_path(ROOT)}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    processes = [subprocess.Popen(command, **pipes) for command in commands]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all have seen version 1 as current
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=300)[0].strip() for process in processes]

    winners = [answer for answer in answers if answer.startswith("won")]
    assert len(winners) == 1, answers
    assert sum("another process was faster" in answer for answer in answers) == 2, answers
    assert f"won {current(registry)}" == winners[0]
    state = registry.state()
    assert [entry.number for entry in state.entries] == [1, 2]
    assert state.problems == ()
    assert registry.numbers() == [1, 2, 3, 4]
    for number in registry.numbers():
        registry.check(number)


def promote_without_end(uri: str, seed: int) -> None:
    for number in range(1000):
        add(Registry(uri), f"{seed}-{number}")


def test_a_promotion_killed_at_any_moment_leaves_a_registry_that_is_whole(tmp_path: Path) -> None:
    registry, chance = Registry(tmp_path), random.Random(0)
    context = multiprocessing.get_context("fork")
    for seed in range(20):
        before = registry.state().last_number
        process = context.Process(target=promote_without_end, args=(registry.uri, seed))
        process.start()
        while registry.state().last_number == before:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.join()
        state = registry.state()
        assert state.problems == ()
        now = state.current()
        assert now is not None
        registry.check(now.version)
    add(registry, "last")
    assert current(registry) == registry.numbers()[-1]
    assert [entry.number for entry in registry.state().entries] == [*range(1, registry.state().last_number + 1)]
