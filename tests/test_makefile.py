"""`make`: an older Python is refused before anything is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OLDER = f"""#!/bin/sh
exec {sys.executable} -c 'import sys
sys.version_info, sys.version = (3, 10, 13), "3.10.13 (main)"
exec(sys.argv[1])' "$2"
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_an_older_python_is_refused_with_what_to_do_and_leaves_no_environment(tmp_path: Path) -> None:
    older, venv = tmp_path / "python3", tmp_path / "venv"
    older.write_text(OLDER)
    older.chmod(0o755)
    found = subprocess.run(
        ["make", "--no-print-directory", "demo", f"PYTHON={older}", f"VENV={venv}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert found.stderr.startswith("wanted Python 3.11 or newer, found ")
    assert f"3.10.13; give another, as in `make demo PYTHON=python3.13`, after `rm -rf {venv}`" in found.stderr
    assert found.stdout == ""
    assert not venv.exists()
