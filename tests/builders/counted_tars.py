"""Tars of img2dataset whose number of samples stands beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def counted_tar(web: Any, path: Path, held: int, stated: int, first: int = 0) -> Path:
    """A tar of img2dataset, numbered as its name, with the ``_stats.json`` beside it."""
    web.tar_of(path, web.samples(held, first))
    stats = {"count": stated + 5, "successes": stated, "failed_to_download": 4, "failed_to_resize": 1}
    path.with_name(f"{path.stem}_stats.json").write_text(json.dumps({**stats, "status_dict": {"success": stated}}))
    return path


def counted_folder(web: Any, folder: Path, held: int = 3, stated: int = 3) -> Path:
    counted_tar(web, folder / "00000.tar", 3, 3)
    counted_tar(web, folder / "00001.tar", held, stated, first=10_000)
    return folder
