"""Where a process of its own looks for modules: where this process does, so that it runs whether installed or not."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def python_path(*first: Path) -> dict[str, str]:
    """The variable ``PYTHONPATH``: these folders, then those of this process."""
    return {"PYTHONPATH": os.pathsep.join([*map(str, first), *filter(None, sys.path)])}
