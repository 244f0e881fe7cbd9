"""The folders of models, trainings and generations, which must be local or mounted."""

from __future__ import annotations

from pathlib import Path


def local_folder(out: str | Path) -> Path:
    """``out`` as a path. ValueError for a URL, which would be taken for the name of a folder."""
    if "://" in str(out):
        raise ValueError(
            f"wanted a path on this machine or a mounted file system, not {str(out)!r}: datasets, exports, reports, "
            "evaluations, calibrations and registries alone lie in an object store"
        )
    return Path(out)
