"""Commands of ``glip-engine`` in processes of their own, for tests that stop or kill them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.recipes import Recipe

ROOT = Path(__file__).parents[2]


@contextmanager
def started(name: str, recipe: Recipe, out: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command of this name, by the recipe into ``out``; it ends with the block."""
    file = out.parent / f"{out.name}.yaml"
    file.write_text(recipe.model_dump_json())
    words = [sys.executable, "-m", "pipelines.cli", name, "--recipe", str(file), "--out", str(out), *arguments]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()
