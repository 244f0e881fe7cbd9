"""Workers import what the driver does, whatever lies in the folder that the job was started in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

IMPORTS_IN_A_WORKER = """
from engine.runner import connected
from engine.running.layout import Workers

def places():
    import json, numpy, schemas.records
    return [json.__file__, numpy.__file__, schemas.records.__file__]

with connected(Workers(count=1)) as ray:
    assert ray.get(ray.remote(places).remote()) == places()
"""


def test_files_of_the_user_hide_no_module_from_workers(tmp_path: Path) -> None:
    for name in ("json.py", "numpy.py", "schemas/__init__.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("raise RuntimeError('a file of the user was imported')\n")
    alone = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-P", "-c", IMPORTS_IN_A_WORKER]
    done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
