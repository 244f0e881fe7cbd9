"""DESIGN: which room may import which. Read from the source by ``ast``, so that lazy imports count too."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "schemas": set(),
    "glip": set(),
    "engine": {"schemas"},
    "teacher": {"schemas", "glip"},
    "student": {"schemas", "glip", "engine.shards", "engine.artifacts", "engine.mix"},
    "pipelines": {"schemas", "glip", "engine", "teacher", "student"},
}
HEAVY_IN_ONE_PLACE = {
    "ray": {"engine/runner.py", "student/distributed.py"},
    "spacy": {"engine/phrases.py", "pipelines/shipped/parser.py"},
    "duckdb": {"engine/box_tables.py"},
    "pycocotools": {"engine/metrics/precision.py"},
}
FILES = [path for room in MAY_IMPORT for path in sorted((ROOT / room).rglob("*.py"))]


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the room's name"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_allowed(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") or name.startswith(f"{module}.") for name in allowed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_it_may(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    ours = {module for module in imported_modules(path) if module.split(".")[0] in MAY_IMPORT}
    wrong = {module for module in ours if not is_allowed(module, MAY_IMPORT[room] | {room})}
    assert not wrong, f"{room}/ must not import {sorted(wrong)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_heavy_dependency_lives_in_its_file(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    heavy = {module.split(".")[0] for module in imported_modules(path)} & HEAVY_IN_ONE_PLACE.keys()
    misplaced = {module for module in heavy if name not in HEAVY_IN_ONE_PLACE[module]}
    assert not misplaced, f"{misplaced} belong in {[HEAVY_IN_ONE_PLACE[module] for module in misplaced]}"


def test_the_model_one_process_training_and_the_measurements_of_a_gpu_load_little() -> None:
    import subprocess
    import sys

    elsewhere = {"ray", "spacy", "nltk", "braceexpand", "webdataset", "duckdb", "plotly", "apscheduler"}
    code = (
        "import sys, glip.model, glip.checkpoint, glip.postprocess, student.trainer, pipelines.train; "
        "import deform_conv, path_agreement, teacher_speed, training_step; "
        f"print(sorted({elsewhere} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "benchmarks")},
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_packages_are_listed_by_name() -> None:
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in FILES if path.name == "__init__.py"}
    assert set(listed) == found
