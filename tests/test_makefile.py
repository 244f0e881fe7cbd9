"""`make`: an older Python is refused before anything is installed, and half an environment is not taken for whole."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OLDER = f"""
exec {sys.executable} -c 'import sys
sys.version_info, sys.version = (3, 10, 13), "3.10.13 (main)"
exec(sys.argv[1])' "$2"
"""
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def make_demo(python: Path, venv: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "demo", f"PYTHON={python}", f"VENV={venv}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_older_python_is_refused_with_what_to_do_and_leaves_no_environment(tmp_path: Path) -> None:
    older, venv = tmp_path / "python3", tmp_path / "venv"
    write_program(older, OLDER)
    found = make_demo(older, venv)
    assert found.returncode == 2
    assert found.stderr.startswith("wanted Python 3.11 or newer, found ")
    assert f"3.10.13; give another, as in `make demo PYTHON=python3.13`, after `rm -rf {venv}`" in found.stderr
    assert found.stdout == ""
    assert not venv.exists()


def test_an_environment_that_was_left_without_pip_is_made_again(tmp_path: Path) -> None:
    python, venv = tmp_path / "python3", tmp_path / "venv"
    write_program(venv / "bin" / "python", '[ "$1" = -c ]')  # left by `python -m venv` where ensurepip is missing
    write_program(python, 'echo "$@"; exit 7')
    found = make_demo(python, venv)
    assert found.stdout.splitlines()[-1] == f"-m venv {venv}"
    assert found.returncode == 2
