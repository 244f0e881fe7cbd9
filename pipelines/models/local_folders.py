"""Where models, trainings and generations lie: in folders of this machine, or of what it mounts."""

from __future__ import annotations

from pathlib import Path


def local_folder(out: str | Path) -> Path:
    """The folder that is meant. ValueError for a URL, which would be taken for the name of a folder."""
    if "://" in str(out):
        raise ValueError(
            f"wanted a path on this machine or a mounted file system, not {str(out)!r}: datasets, exports, reports, "
            "evaluations, calibrations and registries alone lie in an object store"
        )
    return Path(out)
