"""What datasets, checkpoints and lineages say about the code that made them.

In: the command. Out: a line. It is not read back by any code.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGE = "glip-engine"


def made_by(command: str) -> str:
    """``glip-engine VERSION COMMAND``."""
    return f"{PACKAGE} {code_version()} {command}"


def code_version() -> str:
    """The version that is installed; a plain checkout knows none."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "(not installed)"
